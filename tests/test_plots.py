"""Figures show the numbers that they were given, on the axes that they were given."""

import importlib

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from wganlab import networks, plots
from wganlab.errors import InputError
from wganlab.transport import emd, kantorovich_potential

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(size=(7, 2)), RNG.normal(size=(5, 2))
PLAN = np.array([[0.5, 0.0, 0.0], [0.0, 0.25, 0.25]])
DRAWINGS = {
    "points": lambda **on: plots.points(REAL, FAKE, **on),
    "field": lambda **on: plots.field(lambda x: x[:, 0], 2.0, n=5, **on),
    "pictures": lambda **on: plots.pictures(np.zeros((8, 1, 4, 4)), **on),
    "plan": lambda **on: plots.plan(PLAN, **on),
    "piles": lambda **on: plots.piles([3, 2], [1, 4], **on),
}


@pytest.fixture(autouse=True)
def fresh():
    """Every test has its own style, and its figures are closed."""
    mpl.pyplot.close("all")
    with mpl.rc_context({**mpl.rcParamsDefault, "backend": "agg"}):
        yield
        mpl.pyplot.close("all")


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_draws_on_the_axes_it_is_given_and_returns_them(draw, ax):
    assert draw(ax=ax) is ax
    assert ax.has_data()
    assert not mpl.pyplot.get_fignums()  # no other figure was opened
    ax.figure.canvas.draw()  # warnings are errors
    alone = draw()
    assert alone is mpl.pyplot.gca()


def test_points_are_blue_and_vermilion(ax):
    plots.points(REAL, torch.tensor(FAKE, requires_grad=True), ax)
    real, fake = ax.lines
    np.testing.assert_array_equal(real.get_xydata(), REAL)
    np.testing.assert_array_equal(fake.get_xydata(), FAKE)
    assert [line.get_color() for line in ax.lines] == ["#0072B2", "#D55E00"]
    assert [line.get_label() for line in ax.lines] == ["real", "fake"]
    assert ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_1$", "$x_2$")


def test_a_field_is_not_transposed_and_high_is_blue(ax):
    plots.field(lambda x: x[:, 0] + 0.1 * x[:, 1], 2.0, ax, n=21)
    ax.figure.canvas.draw()
    (contours,) = ax.collections
    for path, value in zip(contours.get_paths(), contours.cvalues, strict=False):
        if len(path.vertices):
            x = path.vertices.mean(0)
            assert x[0] + 0.1 * x[1] == pytest.approx(value, abs=0.3)
    low, high = contours.cmap(0.0), contours.cmap(1.0)
    assert low[0] > low[2]  # red
    assert high[2] > high[0]  # blue
    assert (ax.get_xlim(), ax.get_ylim()) == ((-2, 2), (-2, 2))


@pytest.mark.parametrize("f", [networks.mlp(2, 1, hidden=(4,)), kantorovich_potential(REAL, FAKE)])
def test_a_field_takes_critics_and_potentials(f, ax):
    seen = []

    def spy(x):
        seen.append((x.clone(), torch.is_grad_enabled()))
        return f(x)

    plots.field(spy, 3.0, ax, n=4)
    plots.field(f, 3.0, ax, n=4)
    ((x, with_grad),) = seen
    assert not with_grad
    assert sorted(map(tuple, x.tolist())) == sorted((a, b) for a in (-3, -1, 1, 3) for b in (-3, -1, 1, 3))


def test_pictures_lie_row_by_row(ax):
    images = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, 1, 2, 3)
    plots.pictures(images, ax, columns=3)
    (sheet,) = ax.images
    found = np.asarray(sheet.get_array())
    assert found.shape == (4, 9)
    np.testing.assert_allclose(found[::2, ::3], np.linspace(-1, 1, 6).reshape(2, 3), atol=1e-6)
    np.testing.assert_array_equal(found[::2], found[1::2])
    assert sheet.get_clim() == (-1, 1)
    assert not ax.axison


def test_each_picture_is_upright(ax):
    image = np.arange(6.0).reshape(1, 1, 2, 3)
    plots.pictures(image, ax, columns=1)
    np.testing.assert_array_equal(ax.images[0].get_array(), image[0, 0])


@pytest.mark.parametrize("shape", [(7, 1, 4, 4), (8, 3, 4, 4), (8, 4, 4), (8, 16)])
def test_pictures_refuse(shape):
    message = r"grey images \(n, 1, h, w\) with n a multiple of 8, got \(" + ", ".join(map(str, shape))
    with pytest.raises(InputError, match=message):
        plots.pictures(np.zeros(shape))


@pytest.mark.parametrize("gamma", [PLAN, torch.tensor(PLAN), emd([0.0, 1.0], [0.0, 1.0, 1.0]).plan])
def test_a_plan_says_every_mass_where_it_is(gamma, ax):
    plots.plan(gamma, ax)
    gamma = np.asarray(gamma)
    np.testing.assert_array_equal(ax.images[0].get_array(), gamma)
    said = {(round(text.get_position()[1]), round(text.get_position()[0])): text for text in ax.texts}
    assert set(said) == {tuple(place) for place in np.argwhere(gamma > 0).tolist()}
    for place, text in said.items():
        assert float(text.get_text()) == pytest.approx(gamma[place], rel=1e-5)
        assert text.get_color() == ("white" if gamma[place] > gamma.max() / 2 else "black")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("from $i$", "to $j$")


def test_piles_have_their_heights(ax):
    plots.piles([3, 2, 1, 4], torch.tensor([1, 2, 4, 3]), ax)
    P, Q = ax.containers
    assert [bar.get_height() for bar in P] == [3, 2, 1, 4]
    assert [bar.get_height() for bar in Q] == [1, 2, 4, 3]
    assert {to_hex(bar.get_facecolor()).upper() for bar in P} == {plots.REAL}
    assert {to_hex(bar.get_facecolor()).upper() for bar in Q} == {plots.FAKE}
    assert all(p.get_x() + p.get_width() <= q.get_x() for p, q in zip(P, Q, strict=True))
    assert ax.get_xticks().tolist() == [1, 2, 3, 4]
    assert ax.get_xlabel() == "place"  # what the text calls them


def test_the_style_is_a_choice():
    importlib.reload(plots)
    assert mpl.rcParams["image.cmap"] == mpl.rcParamsDefault["image.cmap"]  # importing it sets nothing
    plots.use_style()
    assert mpl.rcParams["image.cmap"] == "gray_r"
    cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    assert [to_hex(colour).upper() for colour in cycle[:2]] == [plots.REAL, plots.FAKE]


def test_array_takes_both_kinds():
    assert type(plots.array([1, 2])) is np.ndarray
    assert plots.array(torch.ones(2, requires_grad=True)).tolist() == [1, 1]
