"""The figures of a step, computed again by their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from probes.schema.record import Comparison


def reference(h, h2, z, z2, t=1.0) -> dict[str, float]:
    """The formulas written out in numpy's longdouble, without regard to speed."""
    h, h2, z, z2 = (np.asarray(np.asarray(v, dtype=np.float32), dtype=np.longdouble) for v in (h, h2, z, z2))

    def log_softmax(x):
        x = x - x.max()
        return x - np.log(np.exp(x).sum())

    def cos(a, b):
        return (a @ b) / np.sqrt((a @ a) * (b @ b))

    lp, lq = log_softmax(z / t), log_softmax(z2 / t)
    p, q, dz, dh = np.exp(lp), np.exp(lq), z2 - z, h2 - h
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        half_p = np.where(p > 0, p * (lp - np.log(m)), 0).sum()
        half_q = np.where(q > 0, q * (lq - np.log(m)), 0).sum()
    r = p * p / (p @ p)

    def variance(w):
        return (w * (dz - (w * dz).sum()) ** 2).sum()

    alpha_h, alpha_z = (dh @ h) / (h @ h), (dz @ z) / (z @ z)
    top5 = np.argsort(-z, kind="stable")[:5]
    values = {
        "h.cos": cos(h, h2),
        "h.angle": np.degrees(
            2
            * np.arctan2(
                np.linalg.norm((h / np.sqrt(h @ h) - h2 / np.sqrt(h2 @ h2)).astype(float)),
                np.linalg.norm((h / np.sqrt(h @ h) + h2 / np.sqrt(h2 @ h2)).astype(float)),
            )
        ),
        "h.length_ratio": np.sqrt((h2 @ h2) / (h @ h)),
        "h.parallel": abs(alpha_h),
        "h.orthogonal": np.sqrt(((dh - alpha_h * h) ** 2).sum() / (h @ h)),
        "h.cos_estimate": ((dh - alpha_h * h) ** 2).sum() / (h @ h) / 2,
        "z.cos": cos(z, z2),
        "z.cos_centred": cos(z - z.mean(), z2 - z2.mean()),
        "z.l2": np.sqrt((dz**2).sum()),
        "z.rms": np.sqrt((dz**2).mean()),
        "z.rms_centred": np.sqrt(((dz - dz.mean()) ** 2).mean()),
        "z.mean_abs": abs(dz).mean(),
        "z.max_abs": abs(dz).max(),
        "z.top5_rms": np.sqrt((dz[top5] ** 2).mean()),
        "z.parallel": abs(alpha_z),
        "z.orthogonal": np.sqrt(((dz - alpha_z * z) ** 2).sum() / (z @ z)),
        "p.kl": (p * (lp - lq)).sum(),
        "p.kl_reverse": (q * (lq - lp)).sum(),
        "p.js": (half_p + half_q) / 2,
        "p.tv": abs(p - q).sum() / 2,
        "p.cos": cos(p, q),
        "p.entropy_dense": -(p * lp).sum(),
        "p.entropy_pruned": -(q * lq).sum(),
        "p.kl_estimate": variance(p) / (2 * t * t),
        "p.cos_estimate": variance(r) / (2 * t * t),
    }
    return {name: float(value) for name, value in values.items()}


def assert_agrees(measured: Comparison, wanted: dict[str, float]) -> None:
    for name, value in wanted.items():
        group, field = name.split(".")
        got = getattr(getattr(measured, group), field)
        assert got == pytest.approx(value, rel=1e-5, abs=1e-7), name
