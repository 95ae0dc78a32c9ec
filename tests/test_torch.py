# SPDX-License-Identifier: BSD-3-Clause
"""xent_native.torch with tensors: values and gradients as PyTorch's own, in its graph, without copies."""

from __future__ import annotations

import copy
import io
import pickle
import weakref
from functools import partial

import numpy as np
import pytest
from bounds import assert_within
from torch_cases import (
    ALL_OPTIONS,
    DTYPES,
    SHAPES,
    Options,
    arguments,
    as_double,
    grad_bound,
    loss_bound,
    oracle,
)

import xent_native as xn
import xent_native.torch as xt

torch = pytest.importorskip("torch")
functional = torch.nn.functional


@pytest.fixture
def logits():
    return torch.from_numpy(np.random.default_rng(3).standard_normal((6, 4))).float()


@pytest.fixture
def labels():
    return torch.tensor([0, 3, 1, 1, -100, 2])


def divisor(x, target, keywords, options) -> float:
    """What the mean divides by."""
    if options.reduction != "mean":
        return 1.0
    if options.probabilities:
        return x.numel() / x.shape[min(1, x.dim() - 1)]
    valid = target[target != -100]
    return float(keywords["weight"].double()[valid].sum()) if options.weight else valid.numel()


@pytest.mark.parametrize("options", ALL_OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_and_gradient_are_those_of_pytorch(dtype, options):
    dtype = DTYPES[dtype]
    for shape in SHAPES:
        x, target, keywords = arguments(shape, dtype, options)
        x.requires_grad_()
        loss = xt.cross_entropy(x, target, **keywords)
        own = functional.cross_entropy(x, target, **keywords)
        assert (loss.shape, loss.dtype, loss.requires_grad) == (own.shape, own.dtype, True)
        upstream = torch.from_numpy(np.random.default_rng(1).standard_normal(loss.shape)).to(dtype)
        loss.backward(upstream)
        expected, slope = oracle(x, target, keywords, upstream, functional.cross_entropy)
        rows = x.numel() // x.shape[min(1, x.dim() - 1)]
        assert_within(
            as_double(loss), expected, loss_bound(expected, rows, dtype, options.reduction), f"loss {shape}"
        )
        scale = as_double(upstream) / divisor(x, target, keywords, options)
        if options.reduction == "none":
            scale = np.expand_dims(scale, min(1, x.dim() - 1))
        assert x.grad.dtype == dtype
        assert_within(as_double(x.grad), slope, grad_bound(slope, scale, dtype), f"gradient {shape}")
        with torch.no_grad():
            alone = xt.cross_entropy(x, target, **keywords)
        assert not alone.requires_grad
        assert torch.equal(alone, loss.detach())


@pytest.mark.parametrize("options", [o for o in ALL_OPTIONS if not o.ignore], ids=str)
def test_gradcheck(options):
    for shape in ((5,), (4, 3), (2, 3, 2)):
        x, target, keywords = arguments(shape, torch.float64, options)
        x.requires_grad_()
        assert torch.autograd.gradcheck(partial(xt.cross_entropy, target=target, **keywords), x)


def test_gradcheck_with_ignored_rows(logits, labels):
    x = logits.double().requires_grad_()
    for reduction in ("none", "mean", "sum"):
        assert torch.autograd.gradcheck(partial(xt.cross_entropy, target=labels, reduction=reduction), x)


def test_the_loss_is_in_the_graph(labels):
    layer = torch.nn.Linear(5, 4)
    features = torch.ones(6, 5)
    ours = torch.autograd.grad(2 * xt.cross_entropy(layer(features).tanh(), labels) + 1, layer.weight)[0]
    own = torch.autograd.grad(2 * functional.cross_entropy(layer(features).tanh(), labels) + 1, layer.weight)[
        0
    ]
    # A product of six terms of at most 1 per entry: 8 roundings.
    assert torch.allclose(ours, own, rtol=0, atol=8 * 1.2e-7)


def test_rows_have_their_own_upstream_gradient(logits, labels):
    x = logits.requires_grad_()
    upstream = torch.tensor([1.0, 0.0, -2.0, 0.5, 3.0, float("nan")])
    xt.cross_entropy(x, labels, reduction="none").backward(upstream)
    unit = torch.autograd.grad(xt.cross_entropy(x, labels, reduction="sum"), x)[0]
    assert torch.equal(x.grad[:5], unit[:5] * upstream[:5, None])
    assert x.grad[5].isnan().all()


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_an_expanded_upstream_gradient_is_one_number(logits, labels, reduction):
    x = logits.requires_grad_()
    for factor in (1.0, 0.25):
        loss = xt.cross_entropy(x, labels, reduction=reduction)
        (grad,) = torch.autograd.grad(loss.sum() * factor, x)
        code = "mean" if reduction == "mean" else "sum"
        (whole,) = torch.autograd.grad(xt.cross_entropy(x, labels, reduction=code), x)
        assert torch.equal(grad, whole * factor)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_copied(dtype, monkeypatch):
    """What the kernel gets is the tensor's own memory; what it fills becomes the gradient."""
    from xent_native import _core

    seen = []
    whole = _core.cross_entropy

    class Spy:
        def __getattr__(self, name):
            return getattr(_core, name)

        @staticmethod
        def cross_entropy(*given):
            seen.append((given[1].ctypes.data, given[6], given[18]))
            return whole(*given)

    from xent_native.torch import _softmax

    monkeypatch.setattr(_softmax, "_core", Spy())
    for probabilities in (False, True):
        x, target, _ = arguments((64, 10), DTYPES[dtype], Options(probabilities))
        x.requires_grad_()
        xt.cross_entropy(x, target, reduction="sum").backward()
        assert seen[-1][0] == x.data_ptr()
        assert seen[-1][2].ctypes.data == x.grad.data_ptr()
        if probabilities:
            assert seen[-1][1].ctypes.data == target.data_ptr()


@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_of_tensors(dtype):
    """Strided and expanded tensors, and images with channels last, whose gradient has their layout."""
    x, target, _ = arguments((2, 3, 4, 6), DTYPES[dtype], Options())
    plain = x.clone().requires_grad_()
    xt.cross_entropy(plain, target).backward()
    for placed in (
        x.contiguous(memory_format=torch.channels_last),
        x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
        torch.stack([x, x], -1)[..., 0],
        x.repeat(1, 2, 1, 1)[:, ::2][:, [0, 1, 2]] * 0 + x,
    ):
        given = placed.detach().requires_grad_()
        xt.cross_entropy(given, target).backward()
        # Another loop order: a few roundings of the compute type, then those of the dtype.
        bound = 4 * 1.2e-7 + (0 if given.dtype.itemsize > 2 else torch.finfo(given.dtype).eps)
        assert_within(as_double(given.grad), as_double(plain.grad), bound, str(placed.stride()))
    last = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    xt.cross_entropy(last, target).backward()
    assert last.grad.is_contiguous(memory_format=torch.channels_last)
    row = x[:1, :, :1, :1].expand(2, 3, 4, 6).detach().requires_grad_()
    loss = xt.cross_entropy(row, target)
    assert loss.item() == xt.cross_entropy(row.detach().clone(), target).item()
    loss.backward()


def test_float16_gradients_survive_a_loss_scale():
    """Divided by the rows first, they would be below what float16 holds when the scale arrives."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((4096, 100))).half().requires_grad_()
    y = torch.from_numpy(rng.integers(0, 100, 4096))
    scale = torch.tensor(32768.0, dtype=torch.float16)
    xt.cross_entropy(x, y).backward(scale)
    _, expected = oracle(x, y, {}, scale, functional.cross_entropy)
    # Rounded twice, a relative eps, where the sum's gradient p is a normal float16; else half its smallest step.
    bound = 2.0**-10 * np.abs(expected) + 2.0**-25 * 32768 / 4096 + 1.2e-7 * 8
    assert_within(as_double(x.grad), expected, bound, "scaled gradient")


class TestBackward:
    """The gradient is computed in the forward pass, given away in the first backward, and never used twice."""

    def test_it_is_computed_once(self, logits, labels, monkeypatch):
        from xent_native.torch import _tensors

        calls = []
        solve = _tensors.solve
        monkeypatch.setattr(_tensors, "solve", lambda *given: calls.append(given[2]) or solve(*given))
        x = logits.requires_grad_()
        xt.cross_entropy(x, labels).backward()
        assert len(calls) == 1
        assert calls[0] is not None
        with torch.no_grad():
            xt.cross_entropy(x, labels)
        xt.cross_entropy(x.detach(), labels)
        assert calls[1:] == [None, None]

    def test_a_retained_graph_gives_the_same_again(self, logits, labels):
        x = logits.requires_grad_()
        for reduction in ("mean", "none"):
            loss = xt.cross_entropy(x, labels, reduction=reduction).sum()
            first = torch.autograd.grad(3 * loss, x, retain_graph=True)[0]
            kept = first.clone()
            second = torch.autograd.grad(3 * loss, x, retain_graph=True)[0]
            third = torch.autograd.grad(loss, x)[0]
            assert torch.equal(first, kept)
            assert torch.equal(second, kept)
            assert torch.equal(third * 3, kept)
            assert first.data_ptr() != second.data_ptr()

    def test_a_freed_graph_says_so(self, logits, labels):
        loss = xt.cross_entropy(logits.requires_grad_(), labels)
        loss.backward()
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()

    def test_an_input_that_was_changed_is_noticed(self, logits, labels):
        x = logits.requires_grad_() * 1
        loss = xt.cross_entropy(x, labels)
        loss.backward(retain_graph=True)
        with torch.no_grad():
            x.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()

    def test_gradients_accumulate(self, logits, labels):
        x = logits.requires_grad_()
        xt.cross_entropy(x, labels, reduction="sum").backward()
        once = x.grad.clone()
        xt.cross_entropy(x, labels, reduction="sum").backward()
        assert torch.equal(x.grad, 2 * once)

    def test_there_is_no_second_derivative(self, logits, labels):
        x = logits.requires_grad_()
        (grad,) = torch.autograd.grad(xt.cross_entropy(x, labels), x, create_graph=True)
        assert grad.requires_grad
        with pytest.raises(RuntimeError, match="can be differentiated once"):
            grad.square().sum().backward()

    def test_memory_goes_with_the_graph(self, logits, labels):
        x = logits.requires_grad_() * 1
        loss = xt.cross_entropy(x, labels)
        seen = weakref.ref(loss.grad_fn.grad)
        loss.backward()
        assert loss.grad_fn.grad is None
        assert seen() is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_nothing_to_count(dtype, reduction):
    """All ignored, no rows, weights of 0: the mean is NaN, as PyTorch's own; and the gradient is what its is."""
    x = torch.randn(4, 3).to(DTYPES[dtype])
    ignored = torch.full((4,), -100)
    zeros = torch.zeros(3).to(DTYPES[dtype])
    for rows, target, keywords in (
        (4, ignored, {}),
        (4, ignored, {"label_smoothing": 0.5}),
        (4, ignored, {"weight": zeros + 2}),
        (4, torch.tensor([0, 1, -100, 2]), {"weight": zeros}),
        (0, ignored[:0], {}),
        (0, x[:0], {}),
    ):
        results = []
        for function in (xt.cross_entropy, functional.cross_entropy):
            given = x[:rows].clone().requires_grad_()
            loss = function(given, target, reduction=reduction, **keywords)
            loss.sum().backward()
            results.append((loss.detach(), given.grad))
        torch.testing.assert_close(*(loss for loss, _ in results), rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(*(grad for _, grad in results), rtol=0, atol=0, equal_nan=True)


def test_differences_to_pytorch_where_its_answer_is_nan(logits):
    """Named in docs/compatibility.md."""
    x = logits.clone()
    x[0] = float("nan")
    x.requires_grad_()
    ignoring = torch.tensor([-100, 0, 1, 2, 3, 0])
    xt.cross_entropy(x, ignoring).backward()
    assert (x.grad[0] == 0).all()
    own = x.detach().clone().requires_grad_()
    functional.cross_entropy(own, ignoring).backward()
    assert own.grad[0].isnan().all()

    x = torch.tensor([[0.0, 0.0, -float("inf")]])
    target = torch.tensor([[0.5, 0.5, 0.0]])
    assert xt.cross_entropy(x, target).item() == pytest.approx(np.log(2), rel=1.2e-7)
    assert functional.cross_entropy(x, target).isnan()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_labels_of_every_integer_type(logits, labels, dtype):
    """PyTorch itself takes uint8 and int64."""
    y = labels.clamp(min=0).to(dtype)
    assert xt.cross_entropy(logits, y) == xt.cross_entropy(logits, y.long())


@pytest.mark.parametrize(
    ("input_dtype", "target_dtype", "result"),
    [("bfloat16", "float32", "float32"), ("float32", "float64", "float64"), ("float16", "bfloat16", "float32"),
     ("float64", "float32", "float64")],
)  # fmt: skip
def test_probabilities_of_another_dtype(input_dtype, target_dtype, result):
    """As PyTorch promotes them; the gradient has the dtype of the input."""
    x = torch.randn(4, 3).to(DTYPES[input_dtype]).requires_grad_()
    target = torch.randn(4, 3).softmax(1).to(DTYPES[target_dtype])
    loss = xt.cross_entropy(x, target)
    assert loss.dtype == functional.cross_entropy(x, target).dtype == DTYPES[result]
    loss.backward()
    assert x.grad.dtype == x.dtype
    own = functional.cross_entropy(x.double(), target.double())
    assert_within(loss.item(), own.item(), loss_bound(as_double(own), 1, DTYPES[result], "mean"))


def error_cases():
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    grown = torch.randn(4, 3).softmax(1).requires_grad_()
    return {
        "batch": (ValueError, r"target must have shape \(4,\).*got \(2,\)", (x, y[:2]), {}),
        "spatial": (ValueError, r"target must have shape", (torch.randn(2, 3, 4), torch.zeros(2, 5).long()), {}),
        "column": (ValueError, r"got \(4, 1\)", (x, y[:, None]), {}),
        "one row": (ValueError, r"target must have shape \(\)", (x[0], y), {}),
        "scalar": (ValueError, "at least one dimension", (x[0, 0], y[0]), {}),
        "no classes": (ValueError, "at least one class", (x[:, :0], y), {}),
        "label": (IndexError, r"target must lie in \[0, 3\) or equal ignore_index=-100; got 3 at index 2",
                  (x, torch.tensor([0, 1, 3, 0])), {}),
        "negative": (IndexError, "got -1 at index 0", (x, y - 1), {"reduction": "none"}),
        "label and weight": (IndexError, "got 9 at index 1", (x, torch.tensor([0, 9, 0, 0])),
                             {"weight": torch.ones(3)}),
        "float labels": (TypeError, "target must hold integer class indices; got dtype torch.float32",
                         (x, y.float()), {}),
        "bfloat16 labels": (TypeError, "target must hold integer class indices", (x, y.bfloat16()), {}),
        "bool labels": (TypeError, "target must hold integer class indices", (x, y > 1), {}),
        "integer probabilities": (TypeError, "floating point type", (x, torch.ones(4, 3).long()), {}),
        "integer input": (TypeError, "input must be one of", (x.long(), y), {}),
        "complex input": (TypeError, "input must be one of", (x.cfloat(), y), {}),
        "array target": (TypeError, "target must be a tensor", (x, y.numpy()), {}),
        "no target": (TypeError, "target must be a tensor", (x, None), {}),
        "meta": (TypeError, "input must be on the CPU; got a tensor on device meta", (x.to("meta"), y), {}),
        "meta target": (TypeError, "target must be on the CPU", (x, y.to("meta")), {}),
        "meta weight": (TypeError, "weight must be on the CPU", (x, y), {"weight": torch.ones(3, device="meta")}),
        "sparse": (TypeError, "input must be dense", (x.to_sparse(), y), {}),
        "weight shape": (ValueError, r"weight must have shape \(3,\), one per class; got \(2,\)", (x, y),
                         {"weight": torch.ones(2)}),
        "smoothing": (ValueError, "label_smoothing must lie in", (x, y), {"label_smoothing": 1.5}),
        "negative smoothing": (ValueError, "label_smoothing must lie in", (x, y), {"label_smoothing": -0.1}),
        "reduction": (ValueError, "reduction must be one of 'none', 'mean', 'sum'; got 'batchmean'", (x, y),
                      {"reduction": "batchmean"}),
        "no reduction": (ValueError, "reduction must be one of", (x, y), {"reduction": None}),
        "ignore_index": (ValueError, "ignore_index must be an integer", (x, y), {"ignore_index": 1.5}),
        "ignored probabilities": (ValueError, "ignore_index must not be given", (x, x.softmax(1)),
                                  {"ignore_index": 1}),
        "target requires grad": (ValueError, "target must not require a gradient", (x, grown), {}),
        "weight requires grad": (ValueError, "weight must not require a gradient", (x, y),
                                 {"weight": torch.ones(3, requires_grad=True)}),
    }  # fmt: skip


@pytest.mark.parametrize("name", error_cases())
def test_errors(name):
    error, message, given, keywords = error_cases()[name]
    with pytest.raises(error, match=message):
        xt.cross_entropy(*given, **keywords)


class TestModule:
    def test_it_is_a_module(self, logits, labels):
        loss = xt.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 1.0]), label_smoothing=0.1)
        assert isinstance(loss, torch.nn.Module)
        own = functional.cross_entropy(logits, labels, loss.weight, label_smoothing=0.1)
        assert loss(logits, labels).item() == pytest.approx(own.item(), rel=1e-6)
        assert loss(logits.numpy(), labels.numpy()) == pytest.approx(own.item(), rel=1e-6)
        assert "label_smoothing=0.1" in repr(loss)
        assert [name for name, _ in loss.named_buffers()] == ["weight"]
        assert not list(loss.parameters())

    def test_the_weight_is_a_buffer(self, logits, labels):
        loss = xt.CrossEntropyLoss(weight=np.array([1.0, 2.0, 0.5, 1.0]))
        assert loss.weight.dtype == torch.float64
        assert loss.to(torch.float32) is loss
        assert loss.weight.dtype == torch.float32
        state = torch.nn.ModuleDict({"loss": loss}).state_dict()
        assert list(state) == ["loss.weight"]
        other = xt.CrossEntropyLoss(weight=torch.ones(4))
        other.load_state_dict(loss.state_dict())
        assert torch.equal(other.weight, loss.weight)
        assert not xt.CrossEntropyLoss().state_dict()
        assert loss.bfloat16()(logits.bfloat16(), labels).dtype == torch.bfloat16
        with pytest.raises(TypeError, match="weight must be on the CPU"):
            xt.CrossEntropyLoss(weight=torch.ones(4)).to("meta")(logits, labels)

    def test_copies_and_files(self, logits, labels):
        loss = xt.CrossEntropyLoss(torch.ones(4) * 3, ignore_index=2, reduction="sum", label_smoothing=0.25)
        buffer = io.BytesIO()
        torch.save(loss, buffer)
        buffer.seek(0)
        for twin in (
            pickle.loads(pickle.dumps(loss)),
            copy.deepcopy(loss),
            torch.load(buffer, weights_only=False),
        ):
            assert type(twin) is xt.CrossEntropyLoss
            assert twin(logits, labels.clamp(min=0)) == loss(logits, labels.clamp(min=0))
            assert repr(twin) == repr(loss)

    @pytest.mark.parametrize(
        "options", [{"reduction": "batchmean"}, {"label_smoothing": 2}, {"ignore_index": "x"}]
    )
    def test_options_are_checked_when_it_is_made(self, options):
        with pytest.raises(ValueError, match=next(iter(options))):
            xt.CrossEntropyLoss(**options)


def test_threads_are_those_that_pytorch_was_given(logits, labels, monkeypatch):
    from xent_native.torch import _softmax

    seen = []
    solve = _softmax.SoftmaxProblem.solve
    monkeypatch.setattr(
        _softmax.SoftmaxProblem, "solve", lambda self, *given: seen.append(given[-1]) or solve(self, *given)
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        xt.cross_entropy(logits, labels)
    finally:
        torch.set_num_threads(before)
    with xn.threads(2):
        xt.cross_entropy(logits, labels)
    assert seen == [1, 2]
