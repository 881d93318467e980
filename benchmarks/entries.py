"""Every benchmark, by name."""

from benchmarks.lab.entry import Entry
from benchmarks.speed import dmm, earlier, fit, gpu, m2, steps
from benchmarks.speed import evidence as evidence_speed
from benchmarks.studies import (
    aggregate,
    class_gradients,
    collapse,
    defaults,
    devices,
    evidence,
    exact,
    gaps,
    gradient_snr,
    gradients,
    kills,
    leaks,
    m2_evidence,
    objectives,
    photo_patches,
    precision,
    sigmoid_belief_network,
    source,
)
from benchmarks.tables import (
    adversarial_aae,
    adversarial_avb,
    adversarial_warp,
    autoencoders,
    codewords,
    columns,
    content_style,
    counts,
    discrete,
    disentanglement,
    flows,
    groups,
    hierarchies,
    iwae,
    iwae_swap,
    latent_language,
    quadrants,
    rainforth,
    semisupervised,
    sentences,
    sequences,
    topics,
    vampprior,
    vrnn,
)
from benchmarks.worked import examples

__all__ = ["ENTRIES"]

TABLES = (
    iwae,
    iwae_swap,
    rainforth,
    vampprior,
    flows,
    autoencoders,
    semisupervised,
    quadrants,
    counts,
    columns,
    vrnn,
    sequences,
    discrete,
    codewords,
    disentanglement,
    content_style,
    topics,
    latent_language,
    sentences,
    hierarchies,
    adversarial_aae,
    adversarial_avb,
    adversarial_warp,
    groups,
)
STUDIES = (
    objectives,
    precision,
    gradient_snr,
    gaps,
    gradients,
    sigmoid_belief_network,
    class_gradients,
    evidence,
    exact,
    m2_evidence,
    photo_patches,
    aggregate,
    collapse,
    defaults,
    devices,
    kills,
    leaks,
    source,
)
SPEED = (steps, gpu, earlier, fit, m2, dmm, evidence_speed)

ENTRIES: dict[str, Entry] = {module.ENTRY.name: module.ENTRY for module in (*TABLES, *STUDIES, *SPEED)}
ENTRIES |= {entry.name: entry for entry in examples.ENTRIES}
