"""Steps without Python in them: a pair, an objective and an optimizer as one graph of tensor operations."""

from pyrovae.compile.compiled import CompiledStep
from pyrovae.compile.door import compile_step
from pyrovae.compile.function import Code, compile_function
from pyrovae.compile.step import PyroStep, Step, pyro_program
from pyrovae.compile.steps import StepCode

__all__ = ["Code", "CompiledStep", "PyroStep", "Step", "StepCode", "compile_function", "compile_step", "pyro_program"]
