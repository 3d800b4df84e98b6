"""What an S3 store may be able to do, and what Almanac does where it cannot: words.

Pure data. `hub_ext.storage.probe` finds out for `almanac validate`; a user's
server finds out for itself (`lab_extension.contents.objects.probe`), with the keys that
it has.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Capability:
    """One row of the table.

    Attributes:
        name: stable, for programs.
        title: for people.
        gives: what Almanac does with it; a sentence.
        without: what it does where the store cannot; a sentence.
        needed: whether Almanac is of no use with object storage without it.
    """

    name: str
    title: str
    gives: str
    without: str
    needed: bool = False


CAPABILITIES: tuple[Capability, ...] = (
    Capability(
        "conditional_writes",
        "Conditional writes",
        "Of two who save the same file, the second is asked, however close they are.",
        "A file is compared before it is written over; of two who save in the same instant, "
        "one may still be lost.",
    ),
    Capability(
        "versions",
        "Versions",
        "What was overwritten or deleted can be had back for a while.",
        "What was overwritten or deleted is gone; “Versions…” is not offered.",
    ),
    Capability(
        "sts",
        "Limited credentials (STS)",
        "Each person and each run gets keys for an hour that reach their own prefixes alone.",
        "Nobody gets keys, since the platform's own would open everything: notebooks, jobs and "
        "the file browser have no object storage.",
        needed=True,
    ),
    Capability(
        "ranges",
        "Ranges",
        "Readers fetch the part of a file that they need, and broken downloads go on.",
        "Every read fetches the whole file; polars and obstore cannot read Parquet files.",
    ),
    Capability(
        "presigned",
        "Presigned links",
        "A file can be shared by a link for a while.",
        "“Share link” fails.",
    ),
    Capability(
        "upload_listing",
        "Listing of uploads",
        "Uploads that were never finished are found and their parts freed after a week.",
        "The parts of uploads that were never finished take space until somebody removes them.",
    ),
)
