"""Load a loop file with all that it names into one `Project`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from argus_core.settings.document import SettingsError, canonical_hash, merged, read_yaml
from argus_core.settings.loop import LoopSettings
from argus_core.settings.platform import PlatformSettings
from argus_core.settings.universe import Instrument, UniverseSettings


@dataclass(frozen=True)
class Project:
    """A loaded configuration: loop, platform and universe, and the root that relative paths start from."""

    root: Path
    source: Path
    loop: LoopSettings
    platform: PlatformSettings
    universe: UniverseSettings

    def resolve(self, path: str) -> Path:
        """Absolute path of ``path``; relative ones start at the project root."""
        given = Path(path).expanduser()
        return given if given.is_absolute() else self.root / given

    @property
    def lake_root(self) -> str:
        """Root of the lake: absolute path, or an fsspec URL as given."""
        root = self.loop.pack.db_path or self.platform.lake.root
        return root if "://" in root else str(self.resolve(root))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that the loop trades, in config order."""
        return self.universe.universe if self.loop.pack.mode == "universe" else self.loop.pack.symbols

    def references(self, symbol: str) -> tuple[str, ...]:
        """Symbols whose bars the pack of ``symbol`` carries beside its own, sorted."""
        return tuple(sorted(self.loop.pack.references.get(symbol, ())))

    @property
    def bar_symbols(self) -> tuple[str, ...]:
        """Symbols whose bars the loop publishes: those it trades, then references that it does not trade itself."""
        carried = (name for symbol in self.symbols for name in self.references(symbol))
        return tuple(dict.fromkeys((*self.symbols, *carried)))

    def instrument(self, symbol: str) -> Instrument:
        return self.universe.instrument(symbol)

    def bars_provider(self, symbol: str) -> str:
        """The one provider of the symbol's series: the instrument's own, else the pack's, else the platform's."""
        return (
            self.instrument(symbol).bars_provider
            or self.loop.pack.bars_provider
            or self.platform.providers.bars_primary
        )

    @property
    def options_provider(self) -> str:
        return self.loop.pack.options_snapshot_provider or self.platform.providers.options_primary

    @property
    def risk_members(self) -> tuple[str, ...]:
        """Members of the risk basket that this loop trades, sorted: they vote."""
        return tuple(sorted(set(self.universe.risk_basket) & set(self.symbols)))

    def market_state_keys(self, table: str) -> dict[str, str]:
        """Lake keys, beside the date, of a table across symbols (`risk_flow`, `market_risk`).

        They name what the values rest on, so that loops with other providers or symbols share a lake.
        """
        if table == "risk_flow":
            return {"provider": self.platform.providers.bars_primary}
        return {"basket": "-".join(f"{s}.{self.bars_provider(s)}" for s in self.risk_members) or "none"}

    @property
    def option_underlyings(self) -> tuple[str, ...]:
        return tuple(s for s in self.symbols if self.instrument(s).options)

    @property
    def config_hash(self) -> str:
        """Hash of every setting that can change a run (no path, no timing, no notification, no routing of signals)."""
        beside = {"loop", "notify", "signals", "calibration", "platform", "universe", "overrides"}
        loop = self.loop.model_dump(mode="json", exclude=beside)
        platform = self.platform.model_dump(mode="json", exclude={"lake"})
        return canonical_hash({"loop": loop, "platform": platform, "universe": self.universe.model_dump(mode="json")})


def load_project(path: str | Path, *, root: str | Path | None = None) -> Project:
    """Load and validate the loop file at ``path`` with the platform and universe files that it names.

    Args:
        path: the loop file; a relative path starts at ``root``.
        root: the project root; default: the nearest folder at or above ``path`` that holds ``config/``,
            else the folder of ``path``.

    Raises:
        SettingsError: naming file, key, value and what is allowed.
    """
    given = Path(path).expanduser()
    if root is None:
        source = given.resolve()
        home = next((p for p in source.parents if (p / "config").is_dir()), source.parent)
    else:
        home = Path(root).resolve()
        source = given if given.is_absolute() else home / given
    loop = LoopSettings.parse(read_yaml(source), source=str(source))

    def beside(name: str) -> Path:
        return Path(name) if Path(name).is_absolute() else home / name

    platform_path, universe_path = beside(loop.platform), beside(loop.universe)
    platform = PlatformSettings.parse(
        merged(read_yaml(platform_path), loop.overrides), source=f"{platform_path} with overrides of {source}"
    )
    universe = UniverseSettings.parse(read_yaml(universe_path), source=str(universe_path))
    project = Project(root=home, source=source, loop=loop, platform=platform, universe=universe)
    _check_references(project, universe_path)
    for symbol in project.symbols:
        bar_seconds = project.instrument(symbol).bar_seconds
        wanted = loop.outcomes.bar_duration
        if wanted is not None and wanted != bar_seconds:
            raise SettingsError(
                f"{source}: outcomes.bar_duration: {wanted} differs from bar_seconds {bar_seconds} of {symbol} "
                f"in {universe_path}. Make them equal or leave bar_duration out."
            )
    return project


def _check_references(project: Project, universe_path: Path) -> None:
    """Refuse references that are unknown, a symbol's own, or named twice.

    Raises:
        SettingsError: naming file, key, value and what is allowed.
    """
    instruments = project.universe.instruments
    for symbol, names in project.loop.pack.references.items():
        where = f"{project.source}: pack.references.{symbol}"
        for name in (symbol, *names):
            if name not in instruments:
                known = ", ".join(sorted(instruments))
                raise SettingsError(f"{where}: no instrument {name!r} in {universe_path}. Known: {known}.")
        if symbol in names:
            raise SettingsError(f"{where}: {symbol} is its own reference. Name other symbols only.")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SettingsError(f"{where}: {', '.join(twice)} is named twice. Name every reference once.")
