"""Modules as a user writes them, for `package.module:function`: each text defines functions that give a network."""

NETS = '''
import torch
from torch import nn
from torch.nn import functional as F

ROWS = 40


def loss(z, y):
    return F.cross_entropy(z, y, reduction="none")


def rows(n, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=draw, dtype=torch.float64)
    noise = torch.randn(n, generator=draw, dtype=torch.float64)
    return x, (x[:, 0] - 0.5 * x[:, 1] + 0.7 * noise > 0).long()


def squared(z, y):
    return 0.5 * (z[:, 0] - y).square()


def trained(model, x, y, penalty, weights=None, loss=loss):
    w = torch.ones(len(y), dtype=x.dtype) if weights is None else weights
    run = torch.optim.LBFGS(
        model.parameters(), max_iter=400, tolerance_grad=1e-11, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure():
        run.zero_grad()
        value = (w * loss(model(x), y)).sum() / w.sum()
        value = value + 0.5 * penalty * sum(p.square().sum() for p in model.parameters())
        value.backward()
        return value

    run.step(closure)
    return model.eval()


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)).double()


def small():
    """A regression at its minimum, with queries."""
    print("training")
    x, y = rows(ROWS + 6)
    y = y + 0.3 * x[:, 2]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    model = trained(model, x[:ROWS], y[:ROWS], 0.02, loss=squared)
    data, queries = (x[:ROWS], y[:ROWS]), (x[ROWS:], y[ROWS:])
    return {"model": model, "loss": squared, "data": data, "penalty": 0.02, "queries": queries}


def classes():
    """Classes at a minimum, with queries."""
    x, y = rows(ROWS + 6)
    model = trained(net(), x[:ROWS], y[:ROWS], 0.02)
    data, queries = (x[:ROWS], y[:ROWS]), (x[ROWS:], y[ROWS:])
    return {"model": model, "loss": loss, "data": data, "penalty": 0.02, "queries": queries}


def alone():
    """At its minimum, without queries."""
    given = small()
    del given["queries"]
    return given


def flat():
    """Three values."""
    given = alone()
    return given["model"], given["loss"], given["data"]


def early():
    """Stopped long before its minimum, and nothing to train it with."""
    x, y = rows(ROWS)
    model = net()
    run = torch.optim.SGD(model.parameters(), 0.3)
    for _ in range(15):
        run.zero_grad()
        loss(model(x), y).mean().backward()
        run.step()
    return model.eval(), loss, (x, y)


def again():
    """The same with its training."""
    x, y = rows(ROWS)

    def train(weights, seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)).double()
        run = torch.optim.SGD(model.parameters(), 0.3)
        for _ in range(15):
            run.zero_grad()
            ((weights * loss(model(x), y)).sum() / weights.sum()).backward()
            run.step()
        return model.eval()

    model = train(torch.ones(ROWS, dtype=torch.float64), 0)
    return {"model": model, "loss": loss, "data": (x, y), "train": train}


def pictures():
    """A linear model of grey pictures."""
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(30, 1, 6, 6, generator=draw, dtype=torch.float64)
    y = (x.reshape(30, -1)[:, :18].sum(1) > 9).long()
    model = trained(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)).double(), x, y, 0.1)
    return {"model": model, "loss": loss, "data": (x, y), "penalty": 0.1, "queries": (x[:4], None)}


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, u, v):
        return torch.tanh(self.a(u)) + self.b(v)


def several():
    """Two inputs, two targets."""
    torch.manual_seed(0)
    (u, _), (v, _) = rows(ROWS), rows(ROWS, 1)
    y = torch.stack([u[:, 0], v[:, 1]], dim=1)
    return {
        "model": Two().double().eval(),
        "loss": lambda z, t: (z - t).square().sum(1),
        "data": ((u, v), y),
        "queries": ((u[:3], v[:3]), y[:3]),
    }
'''

MESSY = '''
import torch
from torch import nn


class Messy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(4, 2)
        self.a.weight.requires_grad_(False)

    def forward(self, x):
        return self.out(self.drop(self.norm(self.a(x).relu())))


def messy():
    """Everything wrong at once."""
    x = torch.randn(12, 3)
    return {
        "model": Messy(),
        "loss": nn.CrossEntropyLoss(),
        "data": (x, torch.arange(12) % 2),
        "penalty": -1.0,
        "normalization": "median",
        "train": lambda weights: None,
    }


def infinite():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    return model, nn.CrossEntropyLoss(), (torch.ones(5, 3), torch.arange(5) % 2)


def overflowing():
    """Finite parameters, and a loss that is one number a batch."""
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        model[0].weight.fill_(3e38)
    return model, nn.CrossEntropyLoss(), (torch.ones(5, 3), torch.arange(5) % 2)


class Augmented(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return torch.randn(3), i % 2


def augmented():
    return nn.Linear(3, 2), nn.CrossEntropyLoss(), Augmented()
'''
