"""The loop over the steps of a sequence, differentiably: a scan of the step, and one of its gradient, last step first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.autograd.function import once_differentiable

from pyrovae.compile.graph import make_graph
from pyrovae.compile.pieces import ancestors, cut_out, is_sum, is_tuple, source_of
from pyrovae.compile.scan import CONST, EACH, MOVING, CannotSplit, Compiler, Scan
from pyrovae.core.step_plan import Over

__all__ = ["DifferentiableScan"]

aten = torch.ops.aten
# what only looks as if it depended on its argument
CONSTANTS = {
    aten.fill.Scalar: lambda x, value: torch.full(x.shape, value, dtype=x.dtype, device=x.device),
    aten.zeros_like.default: lambda x, **kwargs: torch.zeros(x.shape, dtype=kwargs.get("dtype") or x.dtype, device=x.device),
    aten.ones_like.default: lambda x, **kwargs: torch.ones(x.shape, dtype=kwargs.get("dtype") or x.dtype, device=x.device),
}


class DifferentiableScan:
    """A step's graph run over T steps, as :class:`~pyrovae.compile.scan.Scan` does, and its gradient likewise.

    Args:
        graph: the step; its outputs begin with the next states.
        examples: its inputs at one step.
        roles: CONST, EACH or MOVING, of each input.
        wanted: whether the gradient by each input is asked for; by states of floating point it always is.
        compiler: makes code of a graph and its examples.
        most: numbers of steps for which what runs for all of them at once is compiled.

    Raises:
        CannotSplit: the step draws noise that depends on its state, or writes into what it is given.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        examples: Sequence[Tensor],
        roles: Sequence[int],
        wanted: Sequence[bool],
        compiler: Compiler,
        most: int = 1,
    ) -> None:
        self.roles, self.compiler, self.most = list(roles), compiler, most
        floating = [value.is_floating_point() for value in examples]
        self.wanted = [(w or role == MOVING) and f for w, role, f in zip(wanted, roles, floating, strict=True)]
        if not any(self.wanted):
            raise CannotSplit("nothing in it is trained")
        self._backwards: dict[tuple[bool, ...], _Backward] = {}
        self._trace(graph, [value.detach() for value in examples])
        self._split()

    def _trace(self, graph: fx.GraphModule, examples: list[Tensor]) -> None:
        """The graph of the step's outputs, given also the gradients by them, and of those by its inputs."""
        from torch._functorch.compile_utils import fx_graph_cse  # a second to import, needed to compile loops only

        count = len(examples)

        def joint(*values: Tensor) -> list[Any]:
            with torch.enable_grad():
                leaves = [value.detach().requires_grad_(w) for value, w in zip(values[:count], self.wanted, strict=True)]
                outs = list(graph(*leaves))
                self.differentiable = [out.requires_grad for out in outs]
                asked = [leaf for leaf, w in zip(leaves, self.wanted, strict=True) if w]
                tangents = values[count:] or [torch.zeros_like(out) for out in outs if out.requires_grad]
                by = iter(torch.autograd.grad([o for o in outs if o.requires_grad], asked, tangents, allow_unused=True))
            return [*outs, *(next(by) if w else None for w in self.wanted)]

        outs = joint(*examples)[:-count]
        tangents = [torch.zeros_like(out).contiguous() for out, d in zip(outs, self.differentiable, strict=True) if d]
        given = [*examples, *tangents]
        module = make_graph(joint, given)
        module = make_graph(torch.func.functionalize(module), given, CONSTANTS)
        module.graph.eliminate_dead_code()
        module = fx.GraphModule(module, fx_graph_cse(module.graph))
        if any(node.target is aten.copy_.default for node in module.graph.nodes):
            raise CannotSplit("the step writes into a tensor that it is given")
        (output,) = [node for node in module.graph.nodes if node.op == "output"]
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        self.module, self.primals = module, placeholders[:count]
        places = [i for i, d in enumerate(self.differentiable) if d]
        self.tangents = dict(zip(places, placeholders[count:], strict=True))
        self.outs, self.grads = list(output.args[0][:-count]), list(output.args[0][-count:])

    def _split(self) -> None:
        """What runs forward, and what the gradient takes from there."""
        calls = [node for node in self.module.graph.nodes if node.op == "call_function"]
        ahead = ancestors(self.outs)
        ahead |= {user for node in ahead if is_tuple(node) for user in node.users}
        self.behind = [node for node in calls if node not in ahead]
        used = {n for node in self.behind for n in node.all_input_nodes if n in ahead}
        used |= {grad for grad in self.grads if grad in ahead}
        used = {source_of(node) for node in used}
        saved = [node for node in calls if node in used]
        piece = cut_out(self.module, calls, [*self.outs, *saved], first=self.primals)
        self.forward = Scan(piece.module, self.roles, (), self.compiler, self.most)
        kinds = [self.forward.kinds[node] for node in self.forward.outputs[len(self.outs) :]]
        self.saved = {node: min(kind, EACH) for node, kind in zip(saved, kinds, strict=True)}
        self.taken = self.saved | {node: min(role, EACH) for node, role in zip(self.primals, self.roles, strict=True)}

    def backward(self, used: tuple[bool, ...]) -> _Backward:
        """The gradient where these outputs have one."""
        if used not in self._backwards:
            self._backwards[used] = _Backward(self, used)
        return self._backwards[used]

    def __call__(self, inputs: Sequence[Tensor], num_steps: int) -> list[Tensor]:
        """The states after the last step, then the other outputs with the steps first."""
        return list(_Function.apply(self, num_steps, *inputs))


class _Backward:
    """The scan of a step's gradient by its inputs, of those outputs that have a gradient themselves."""

    def __init__(self, owner: DifferentiableScan, used: tuple[bool, ...]) -> None:
        self.owner, size = owner, sum(role == MOVING for role in owner.roles)
        states = [i for i in owner.tangents if i < size]
        moving = [i for i, role in enumerate(owner.roles) if role == MOVING]
        unused = {node for i, node in owner.tangents.items() if i >= size and not used[i]}
        self.places = [moving[i] for i in states]  # of the inputs whose gradients are the scan's states
        self.states, self.given = states, [i for i in owner.tangents if i >= size and used[i]]
        self.taken = list(owner.taken)
        first = [owner.tangents[i] for i in states]
        graph, grads = self._rebuild([*first, *self.taken, *(owner.tangents[i] for i in self.given)], unused)
        self.others = [i for i, grad in enumerate(grads) if grad is not None and i not in self.places]
        nexts = [self._or_zeros(graph, grads[place], owner.primals[place]) for place in self.places]
        graph.output((*nexts, *(grads[i] for i in self.others)))
        roles = [*[MOVING] * len(first), *owner.taken.values(), *[EACH] * len(self.given)]
        summed = [len(first) + j for j, i in enumerate(self.others) if owner.roles[i] == CONST]
        module = fx.GraphModule(owner.module, graph)
        module.graph.eliminate_dead_code()
        self.scan = Scan(module, roles, summed, owner.compiler, owner.most)

    def _rebuild(self, inputs: list[fx.Node], zeros: set[fx.Node]) -> tuple[fx.Graph, list[fx.Node | None]]:
        """The gradient's nodes less those that only gradients of zero enter; it is linear in what it is given."""
        owner, graph = self.owner, fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        linear, zeros = set(owner.tangents.values()), set(zeros)
        for i, node in enumerate(inputs):
            copies[node] = graph.placeholder(f"input_{i}")
            copies[node].meta = dict(node.meta)

        def reach(node: fx.Node) -> fx.Node:
            if node not in copies:
                copies[node] = self._zeros(graph, node) if node in zeros else graph.node_copy(node, reach)
            return copies[node]

        for node in owner.behind:
            parts = [part for part in node.all_input_nodes if part in linear]
            if parts:
                linear.add(node)
                left = [part for part in parts if part not in zeros]
                if not left:
                    zeros.add(node)
                    continue
                if len(left) < len(parts) and is_sum(node):
                    copies[node] = reach(left[0])
                    continue
            reach(node)
        return graph, [None if grad is None or grad in zeros else reach(grad) for grad in owner.grads]

    def _zeros(self, graph: fx.Graph, node: fx.Node) -> fx.Node:
        value = node.meta["val"]
        made = graph.call_function(aten.full.default, (list(value.shape), 0), {"dtype": value.dtype, "device": value.device})
        made.meta = dict(node.meta)
        return made

    def _or_zeros(self, graph: fx.Graph, grad: fx.Node | None, node: fx.Node) -> fx.Node:
        return self._zeros(graph, node) if grad is None else grad

    def __call__(self, kept: dict[fx.Node, Any], tangents: Sequence[Tensor | None], num_steps: int) -> list[Tensor | None]:
        """The gradient by each input, None where there is none."""
        owner, last = self.owner, []
        for place, i in zip(self.places, self.states, strict=True):
            given, value = tangents[i], owner.primals[place].meta["val"]
            last.append(torch.zeros(value.shape, dtype=value.dtype, device=value.device) if given is None else given)
        over = [Over(tangents[i]) for i in self.given]
        made = self.scan([*last, *(kept[node] for node in self.taken), *over], num_steps, backwards=True)
        grads: list[Tensor | None] = [None] * len(owner.roles)
        for place, grad in zip([*self.places, *self.others], made, strict=False):  # and states before each step
            if isinstance(grad, Over):
                grad = grad.steps[0] if owner.roles[place] == MOVING else grad.stacked
            elif owner.roles[place] == EACH:
                grad = grad.expand(num_steps, *grad.shape)
            grads[place] = grad
        return grads


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, owner: DifferentiableScan, num_steps: int, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = [Over(value) if role == EACH else value for value, role in zip(inputs, owner.roles, strict=True)]
        made = owner.forward(given, num_steps)
        moving = [node for node, role in zip(owner.primals, owner.roles, strict=True) if role == MOVING]
        size, count, kept = len(moving), len(owner.outs), dict(zip(owner.primals, given, strict=True))
        outs = made[:size] + [
            value.stacked if isinstance(value, Over) else value.expand(num_steps, *value.shape) for value in made[size:count]
        ]
        ctx.kept = kept | dict(zip([*owner.saved, *moving], made[count:], strict=True))
        ctx.owner, ctx.num_steps = owner, num_steps
        ctx.versions = [(value, value._version) for value in inputs]
        ctx.set_materialize_grads(False)
        outs = [out.detach() for out in outs]
        ctx.mark_non_differentiable(*(out for out, d in zip(outs, owner.differentiable, strict=True) if not d))
        return tuple(outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Any, ...]:
        if any(value._version != version for value, version in ctx.versions):
            raise RuntimeError("a tensor that the steps used was written into before their gradient was taken; take it first.")
        tangents = tuple(None if tangent is None else tangent.contiguous() for tangent in tangents)
        gradient = ctx.owner.backward(tuple(tangent is not None for tangent in tangents))
        return None, None, *gradient(ctx.kept, tangents, ctx.num_steps)
