import math


def student_t_quantile(probability: float, degrees: int) -> float:
    """The t > 0 such that Student's variable with `degrees` of freedom lies within ±t with `probability`, in (0, 1).

    Found by halving the range of θ = arctan(t / √degrees), in which the share is a finite sum; exact to 1e-12 or so.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_share(middle, degrees) < probability else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _central_share(theta: float, degrees: int) -> float:
    """P(|T| ≤ √degrees · tan θ): Abramowitz & Stegun 1964, 26.7.3 (odd degrees of freedom) and 26.7.4 (even)."""
    odd = degrees % 2
    term, total = math.cos(theta) ** odd, 0.0
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= math.cos(theta) ** 2 * (power + 1) / (power + 2)
    share = math.sin(theta) * total
    return 2 / math.pi * (theta + share) if odd else share
