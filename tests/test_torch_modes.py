# SPDX-License-Identifier: BSD-3-Clause
"""xent_native.torch in PyTorch's other modes: forward mode, autocast, transforms, tracing; and what its graph keeps."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import numpy as np
import pytest
from torch_cases import ALL_OPTIONS, arguments

import xent_native as xn
import xent_native.torch as xt

torch = pytest.importorskip("torch")
functional = torch.nn.functional
forward_ad = torch.autograd.forward_ad

BINARY = xt.binary_cross_entropy_with_logits
X = torch.from_numpy(np.random.default_rng(3).standard_normal((6, 4))).float()
LABELS = torch.tensor([0, 3, 1, 1, -100, 2])
SOFT = X.flip(0).softmax(1)


@pytest.mark.parametrize("weight", [np.array([1, 2, 0.5, 1], np.float32), [1.0, 2.0, 0.5, 1.0], (1, 2, 3, 4)])
def test_options_may_be_arrays_and_lists(weight):
    """With a gradient to take, and again in a second backward pass."""
    tensor = torch.tensor(np.asarray(weight, np.float64))
    for function, target, names in (
        (xt.cross_entropy, LABELS, ["weight"]),
        (BINARY, SOFT, ["weight"]),
        (BINARY, SOFT, ["pos_weight"]),
        (BINARY, SOFT, ["weight", "pos_weight"]),
    ):
        x = X.clone().requires_grad_()
        loss = function(x, target, **dict.fromkeys(names, weight))
        expected = torch.autograd.grad(function(x, target, **dict.fromkeys(names, tensor)), x)[0]
        assert torch.equal(torch.autograd.grad(loss, x, retain_graph=True)[0], expected)
        assert torch.equal(torch.autograd.grad(loss, x)[0], expected)


def test_options_may_be_numbers_and_views():
    x = X.clone().requires_grad_()
    for name in ("weight", "pos_weight"):
        (grad,) = torch.autograd.grad(BINARY(x, SOFT, **{name: 3.0}), x)
        (expected,) = torch.autograd.grad(BINARY(x, SOFT, **{name: torch.tensor(3.0)}), x)
        assert torch.equal(grad, expected)
    reversed_ = np.arange(1.0, 5.0, dtype=">f4")[::-1]
    reversed_.flags.writeable = False
    assert xt.cross_entropy(x, LABELS, reversed_) == xt.cross_entropy(x, LABELS, torch.tensor([4.0, 3, 2, 1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_losses_that_overflow_are_infinite(dtype):
    most = torch.finfo(dtype).max
    x = torch.tensor([[-most, most]], dtype=dtype).requires_grad_()
    one_of_two = torch.tensor([[1.0, 0.0]], dtype=dtype)
    for reduction in ("mean", "sum", "none"):
        for loss in (
            xt.cross_entropy(x, torch.tensor([0]), reduction=reduction),
            xt.cross_entropy(x, one_of_two, reduction=reduction),
            BINARY(x, one_of_two, weight=torch.tensor(4.0), reduction=reduction),
        ):
            assert loss.dtype == dtype
            assert loss.flatten()[0] == float("inf")
            loss.sum().backward()


def test_another_default_device_is_no_matter():
    weight = torch.ones(4)
    expected = [f(X, SOFT, reduction=r) for f in (xt.cross_entropy, BINARY) for r in ("mean", "none")]
    with torch.device("meta"):
        x = X.clone().requires_grad_()
        losses = [f(x, SOFT, reduction=r) for f in (xt.cross_entropy, BINARY) for r in ("mean", "none")]
        torch.autograd.backward(losses, [torch.ones_like(loss) for loss in losses])
        xt.cross_entropy(x, LABELS, weight.numpy()).backward()
        assert xt.CrossEntropyLoss(weight.numpy())(x, LABELS).device.type == "cpu"
    for loss, known in zip(losses, expected, strict=True):
        assert torch.equal(loss, known)
    assert x.grad.device.type == "cpu"


# PyTorch compiles formulas of its own when the mode is first used, in a way that it has deprecated.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
class TestForwardMode:
    @pytest.mark.parametrize("options", [o for o in ALL_OPTIONS if not o.smoothing], ids=str)
    def test_gradcheck(self, options):
        for shape in ((5,), (4, 3), (2, 3, 2)):
            x, target, keywords = arguments(shape, torch.float64, options)
            loss = partial(xt.cross_entropy, target=target, **keywords)
            assert torch.autograd.gradcheck(loss, x.requires_grad_(), check_forward_ad=True)

    @pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
    def test_binary_gradcheck(self, reduction):
        for shape in ((), (3,), (3, 4)):
            x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
            for weights in ((None, None), (torch.rand(shape), None), (torch.rand(shape), torch.rand(shape))):
                loss = partial(
                    BINARY, target=torch.rand_like(x.detach()), weight=weights[0], pos_weight=weights[1],
                    reduction=reduction,
                )  # fmt: skip
                assert torch.autograd.gradcheck(loss, x, check_forward_ad=True)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    @pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
    def test_tangents_are_those_of_pytorch(self, dtype, reduction):
        """Without a gradient to take, and in layouts of its own."""
        x, tangent = (
            torch.from_numpy(np.random.default_rng(i).standard_normal((2, 4, 3, 5))) for i in (1, 2)
        )
        labels = torch.zeros(2, 3, 5).long()
        for function, own, target in (
            (xt.cross_entropy, functional.cross_entropy, labels),
            (BINARY, functional.binary_cross_entropy_with_logits, x.sigmoid()),
        ):
            for form in (torch.contiguous_format, torch.channels_last):
                with forward_ad.dual_level(), torch.no_grad():
                    half, given = (a.to(dtype).contiguous(memory_format=form) for a in (x, tangent))
                    kind = dtype if target is not labels else None
                    loss = function(forward_ad.make_dual(half, given), target.to(kind), reduction=reduction)
                    dual = forward_ad.make_dual(half.double(), given.double())
                    wide = target.to(kind).double() if kind else target
                    expected = forward_ad.unpack_dual(own(dual, wide, reduction=reduction)).tangent
                    got = forward_ad.unpack_dual(loss).tangent
                assert got.dtype == dtype
                # The gradient and the tangent are rounded once each; up to 120 terms of at most about 4 add up.
                count = 120 if reduction == "sum" else 4
                assert torch.allclose(got.double(), expected, rtol=0, atol=4 * count * torch.finfo(dtype).eps)

    def test_float16_means_are_multiplied_by_what_is_pending(self):
        """65536 rows: half of float16's smallest step is above each row's part of the mean."""
        x = torch.zeros(1 << 16, 2, dtype=torch.float16)
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x, torch.tensor([1.0, 0.0]).half().expand_as(x).contiguous())
            loss = xt.cross_entropy(dual, torch.zeros(1 << 16).long())
            assert forward_ad.unpack_dual(loss).tangent == -0.5

    @pytest.mark.parametrize("name", ["target", "weight"])
    def test_other_tangents_are_refused(self, name):
        with forward_ad.dual_level():
            given = {"target": SOFT, "weight": torch.ones(4)}
            given[name] = forward_ad.make_dual(given[name], torch.ones_like(given[name]))
            for function in (xt.cross_entropy, BINARY):
                with pytest.raises(ValueError, match=f"{name} must not have a tangent"):
                    function(X, **given)


@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_autocast_computes_in_float32(dtype, lower):
    weight = torch.rand(4).to(dtype)
    for function, own, targets in (
        (xt.cross_entropy, functional.cross_entropy, (LABELS, SOFT.to(dtype), SOFT.double())),
        (BINARY, functional.binary_cross_entropy_with_logits, (SOFT.to(dtype), SOFT.double())),
    ):
        for target in targets:
            for reduction in ("mean", "none"):
                x, twin = (X.to(dtype, copy=True).requires_grad_() for _ in range(2))
                with torch.autocast("cpu", dtype=lower):
                    loss = function(x, target, weight, reduction=reduction)
                    expected = own(twin, target, weight, reduction=reduction)
                assert loss.dtype == expected.dtype
                # Six rows in float32: a few roundings.
                assert torch.allclose(loss, expected, rtol=1e-6, atol=1e-6)
                loss.sum().backward()
                assert x.grad.dtype == dtype
                expected.sum().backward()
                assert torch.allclose(x.grad, twin.grad, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_where_gradients_are_off_nothing_asks_for_them(mode):
    grown, weight = SOFT.clone().requires_grad_(), torch.ones(4, requires_grad=True)
    for function in (xt.cross_entropy, BINARY):
        with mode():
            loss = function(X, grown, weight=weight)
        assert loss == function(X, SOFT, weight=torch.ones(4))
        with pytest.raises(ValueError, match="target must not require"):
            function(X, grown)


def test_targets_from_inference_mode():
    with torch.inference_mode():
        target, weight = SOFT * 1, torch.ones(4)
    for function in (xt.cross_entropy, BINARY):
        x = X.clone().requires_grad_()
        loss = function(x, target, weight=weight)
        first = torch.autograd.grad(loss, x, retain_graph=True)[0]
        assert torch.equal(torch.autograd.grad(loss, x)[0], first)


class TestWhatTheGraphKeeps:
    @pytest.mark.parametrize("function", [xt.cross_entropy, BINARY])
    def test_a_backward_pass_frees_it(self, function):
        """NumPy's memory can be watched: tensors that share it own a reference."""
        arrays = {"target": SOFT.numpy().copy(), "weight": np.ones(4, np.float32)}
        seen = [weakref.ref(array) for array in arrays.values()]
        x = X.clone().requires_grad_()
        loss = function(x, **{name: torch.from_numpy(array) for name, array in arrays.items()})
        del arrays
        gc.collect()
        assert all(ref() is not None for ref in seen)
        loss.backward()
        assert [ref() for ref in seen] == [None, None]
        assert loss.grad_fn is not None

    @pytest.mark.parametrize("function", [xt.cross_entropy, BINARY])
    @pytest.mark.parametrize("name", ["target", "weight"])
    def test_changes_are_noticed_by_a_second_backward(self, function, name):
        given = {"target": SOFT.clone(), "weight": torch.ones(4)}
        loss = function(X.clone().requires_grad_(), **given)
        loss.backward(retain_graph=True)
        given[name].mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


class Model(torch.nn.Module):
    def forward(self, x, y):
        return xt.cross_entropy(x, y)


def without_memory():
    """Uses of the losses where tensors have no memory, or that of others."""
    func = torch.func
    loss = partial(xt.cross_entropy, target=LABELS)
    return {
        "grad": lambda x: func.grad(loss)(x),
        "jvp": lambda x: func.jvp(loss, (x.detach(),), (x.detach(),)),
        "jacrev": lambda x: func.jacrev(partial(loss, reduction="none"))(x),
        "functionalize": lambda x: func.functionalize(partial(loss, reduction="none"))(x.detach()),
        "functionalize, gradient": lambda x: func.functionalize(loss)(x),
        "vmap, input": lambda x: func.vmap(partial(xt.cross_entropy, target=LABELS[0]))(x),
        "vmap, target": lambda x: func.vmap(partial(xt.cross_entropy, x))(LABELS[None]),
        "vmap, weight": lambda x: func.vmap(lambda w: loss(x, weight=w))(torch.ones(2, 4)),
        "vmap, pos_weight": lambda x: func.vmap(lambda w: BINARY(x, SOFT, pos_weight=w))(torch.ones(2, 4)),
        "batched gradients": lambda x: torch.autograd.grad(
            loss(x, reduction="none"), x, torch.eye(6), is_grads_batched=True
        ),
        "trace": lambda x: torch.jit.trace(Model(), (x, LABELS)),
        "export": lambda x: torch.export.export(Model(), (x, LABELS), strict=False),
    }


@pytest.mark.parametrize("name", without_memory())
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_memory(name):
    with pytest.raises(TypeError, match="need plain tensors on the CPU, whose memory they can read"):
        without_memory()[name](X.clone().requires_grad_())


@pytest.mark.parametrize("function", [xt.cross_entropy, BINARY])
@pytest.mark.parametrize("grows", [False, True])
def test_fake_tensors(function, grows):
    """Those of FakeTensorMode, within and after it, and real ones that it replaces."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    x = X.clone().requires_grad_(grows)
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = torch.zeros(6, 4, requires_grad=grows)
        for given in ((x, SOFT), (fake, SOFT), (x, fake.detach())):
            with pytest.raises(TypeError, match="need plain tensors"):
                function(*given)
    with pytest.raises(TypeError, match="need plain tensors"):
        function(fake, fake.detach())


@pytest.mark.filterwarnings("ignore")
def test_compiled_code_calls_the_losses_as_they_are():
    x = X.clone().requires_grad_()
    loss = torch.compile(lambda x, y: xt.cross_entropy(2 * x, y), backend="eager")(x, LABELS)
    loss.backward()
    own = X.clone().requires_grad_()
    xt.cross_entropy(2 * own, LABELS).backward()
    assert torch.equal(x.grad, own.grad)


def test_complex_targets_are_refused():
    for function, message in (
        (BINARY, "target must hold real numbers"),
        (xt.cross_entropy, "target must hold"),
    ):
        with pytest.raises(TypeError, match=message):
            function(X, X.cfloat())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_negative_views(dtype):
    """Tensors that say by a bit that their numbers have the other sign."""
    x = X.to(dtype, copy=True)
    for function, target in ((xt.cross_entropy, LABELS), (BINARY, SOFT.to(dtype))):
        given, plain = torch._neg_view(x).detach().requires_grad_(), (-x).requires_grad_()
        loss = function(given, target)
        assert loss == function(plain, target)
        loss.backward()
        function(plain, target).backward()
        assert torch.equal(given.grad, plain.grad)
    assert xt.cross_entropy(x, torch._neg_view(-SOFT.to(dtype))) == xt.cross_entropy(x, SOFT.to(dtype))


def shrunk(tensor):
    """A tensor whose memory somebody has made smaller than its shape says."""
    copy = tensor.clone()
    copy.untyped_storage().resize_(copy.untyped_storage().nbytes() - 1)
    return copy


def test_memory_that_is_not_there():
    for given in ((shrunk(X), LABELS), (X, shrunk(LABELS)), (X, shrunk(SOFT))):
        name = "input" if given[0] is not X else "target"
        with pytest.raises(ValueError, match=f"{name} must have storage of [0-9]+ bytes or more"):
            xt.cross_entropy(*given)
    with pytest.raises(ValueError, match="weight must have storage"):
        xt.cross_entropy(X, LABELS, shrunk(torch.ones(X.shape[1])))
    for given in (
        (X.double(), shrunk(SOFT)),
        (X, shrunk(torch.ones(X.shape, dtype=torch.int64))),
        (shrunk(X.bfloat16()), SOFT),
        (torch._neg_view(shrunk(X)), SOFT),
    ):
        with pytest.raises(ValueError, match=r"(input|target) must have storage"):  # before it is converted
            BINARY(*given)
        with torch.autocast("cpu"), pytest.raises(ValueError, match=r"(input|target) must have storage"):
            BINARY(*given)
    with pytest.raises(ValueError, match="weight must have storage"):
        BINARY(X, SOFT, shrunk(torch.ones(X.shape, dtype=torch.bfloat16)))
    with pytest.raises(TypeError, match="y_pred must have storage"):
        xn.sparse_categorical_crossentropy(LABELS, shrunk(X), True)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tensors_without_plain_memory_are_refused():
    nested = torch.nested.nested_tensor([X[0], X[1]])
    jagged = torch.nested.nested_tensor([X[0], X[1]], layout=torch.jagged)
    for tensor, words in (
        (nested, "nested tensor"),
        (jagged, "nested tensor"),
        (X.to_sparse(), "dense"),
        (X.to("meta"), "on the CPU"),
    ):
        with pytest.raises(TypeError, match=f"input must .*{words}") as caught:
            xt.cross_entropy(tensor, LABELS)
        assert caught.type is TypeError
        with pytest.raises(TypeError, match=f"target must .*{words}"):
            xt.cross_entropy(X, tensor)
        with pytest.raises(TypeError, match=f"y_pred must .*{words}"):
            xn.sparse_categorical_crossentropy(LABELS, tensor, True)


def test_float8_is_refused():
    small = SOFT.to(torch.float8_e5m2)
    for function in (xt.cross_entropy, BINARY):
        with pytest.raises(TypeError, match=r"input must be one of torch\.float32"):
            function(small, LABELS)
        with pytest.raises(TypeError, match=r"target must be one of torch\.float32"):
            function(X, small)
    with pytest.raises(TypeError, match="y_pred must be"):
        xn.categorical_crossentropy(SOFT, small)
