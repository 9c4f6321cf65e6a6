"""Replay packs: sealed, content-addressed inputs of one experiment; the availability join; the decision frame."""

from argus_core.packs.frame import assemble_frame, decision_frame, reference_frames
from argus_core.packs.join import as_of_join
from argus_core.packs.pack import Pack, PackError, PackManifest, ReferenceEntry, TableEntry, export_json, open_pack
from argus_core.packs.sealing import STANDING_SESSIONS, pack_config_hash, seal_pack

__all__ = [
    "STANDING_SESSIONS",
    "Pack",
    "PackError",
    "PackManifest",
    "ReferenceEntry",
    "TableEntry",
    "as_of_join",
    "assemble_frame",
    "decision_frame",
    "export_json",
    "open_pack",
    "pack_config_hash",
    "reference_frames",
    "seal_pack",
]
