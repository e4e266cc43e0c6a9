"""Views of a profile: estimated blocks and bytes by call stack."""

from __future__ import annotations

import collections
import dataclasses
from typing import Callable, Optional

from tools.hakmem_lib.profile.data import Profile, Sum

#: A block is old when it is older than this share of the profile, and as many times older than its site's blocks become.
OLD_SHARE = 0.1
OLD_TIMES = 4

By = dict[int, Sum]  # index of the site -> estimate; without those of nothing


@dataclasses.dataclass(frozen=True)
class View:
    """What to look for in a profile."""

    name: str
    title: str
    of: Callable[[Profile], By]


def allocated(profile: Profile) -> By:
    """All that was allocated, freed or not."""
    return _nonzero({index: site.allocated for index, site in enumerate(profile.sites)})


def live(profile: Profile) -> By:
    """What the program has."""
    return _nonzero({index: site.live for index, site in enumerate(profile.sites)})


def peak(profile: Profile) -> By:
    """What it had when it had most."""
    return _nonzero({index: site.peak for index, site in enumerate(profile.sites)})


def leak(profile: Profile, older_ms: Optional[float] = None) -> By:
    """What it has and has had for long. `older_ms`: for so long, instead of what OLD_SHARE and OLD_TIMES say."""
    out: dict[int, Sum] = collections.defaultdict(Sum)
    for sample in profile.samples:
        age_ms = profile.now_ms - sample.born_ms
        if older_ms is None:
            site = profile.sites[sample.site]
            is_old = age_ms >= OLD_SHARE * profile.duration_ms and age_ms >= OLD_TIMES * site.mean_age_ms
        else:
            is_old = age_ms >= older_ms
        if is_old:
            out[sample.site] += Sum(sample.weight, sample.bytes)
    return dict(out)


def fragmentation(profile: Profile) -> By:
    """Free bytes in slabs that are not empty, shared among the blocks that keep each from being given back.

    A slab's free bytes are divided evenly between its taken blocks, and a sampled block stands for `weight` such. The sum over
    the samples is an estimate of all there is of the class, without bias but of large variance, since samples of small blocks
    stand for thousands. How much the class really has is known: the shares of the sites are scaled to it.
    """
    shares: dict[int, dict[int, Sum]] = collections.defaultdict(lambda: collections.defaultdict(Sum))
    for sample in profile.samples:
        taken = sample.slab_blocks - sample.slab_free
        if sample.size_class is None or taken <= 0 or sample.slab_free == 0:
            continue
        stranded = sample.slab_free * sample.block_bytes / taken
        shares[sample.size_class][sample.site] += Sum(sample.weight, sample.weight * stranded)
    out: dict[int, Sum] = collections.defaultdict(Sum)
    for size_class, sites in shares.items():
        total = sum(share.bytes for share in sites.values())
        known = profile.classes[size_class].stranded if size_class < len(profile.classes) else total
        for site, share in sites.items():
            out[site] += Sum(share.blocks, share.bytes * known / total)
    return dict(out)


def stranded(profile: Profile) -> int:
    """All free bytes in slabs, attributed or not."""
    return sum(total.stranded for total in profile.classes)


VIEWS = (
    View("live", "live now", live),
    View("peak", "live at the peak", peak),
    View("leak", "live and old", leak),
    View("fragmentation", "free in slabs that these blocks keep", fragmentation),
    View("allocated", "allocated, freed or not", allocated),
)


def total(by: By) -> Sum:
    """Of all sites."""
    out = Sum()
    for part in by.values():
        out += part
    return out


def _nonzero(by: By) -> By:
    return {index: part for index, part in by.items() if part.bytes >= 1}
