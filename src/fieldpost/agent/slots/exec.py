# SPDX-License-Identifier: Apache-2.0
"""Slots behind commands: how RAUC, SWUpdate, a boot loader or a flasher is called.

    handed/image, …, handed/slot.cbor    the verified images that are handed over, and what they are
    running.cbor                         what the last confirmed release was
    trial.cbor                           how far a trial is: [phase, state before, release, boot,
                                         tries]

All images of a release are handed over together, once. Commands that know of one image only would
leave the rest of a release out, so its owner names the components that they install.
`state` prints one line that names what booted (`a`, `rootfs.1`, a version): another line than
before the trial means that the new image runs. What follows is written down before it is done, and
every command may run again after a power cut. A boot loader that falls back by itself is noticed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from fieldpost import cbor
from fieldpost.agent.commands import run_command
from fieldpost.agent.slots.base import Boot, Fill, ImageSet, image_words, name_of
from fieldpost.agent.slots.stored_image import (
    facts_of,
    image_path,
    is_whole,
    parse_facts,
    read_facts,
    write_facts,
    write_release,
)
from fieldpost.durable import OS, Disk, make_dirs, remove, remove_leftovers, write_file
from fieldpost.errors import Conflict, Malformed, Unavailable, Untrusted

_MOST_REVERTS: Final = 3
_MOST_STATE: Final = 64
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What to call. `reboot` may be empty: then the agent's own program is executed anew.
    A release must have exactly the images that `components` names; none: exactly one image."""

    install: tuple[str, ...]
    activate: tuple[str, ...]
    confirm: tuple[str, ...]
    revert: tuple[str, ...]
    state: tuple[str, ...]
    reboot: tuple[str, ...] = ()
    install_timeout_s: int = 1_800
    timeout_s: int = 60
    components: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """`phase`: installing, armed, booted, confirming or reverting. `boot` names the machine's boot
    in which the phase was written."""

    phase: str
    before: str
    release: ImageSet
    boot: str
    tries: int = 0


def read_boot_id() -> str:
    """A name of this boot of the machine, "" where the system gives none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class ExecSlots:
    """The slots whose files lie below `root`. `boot` executes the agent anew."""

    def __init__(
        self,
        root: Path,
        commands: Commands,
        *,
        boot: Callable[[], NoReturn],
        boot_id: Callable[[], str] = read_boot_id,
        disk: Disk = OS,
    ) -> None:
        self._root = root
        self._commands = commands
        self._boot = boot
        self._boot_id = boot_id
        self._disk = disk
        self._handed = root / "handed"
        self._trial = root / "trial.cbor"

    def place_factory_images(self, release: ImageSet, fill: Fill) -> None:  # noqa: ARG002
        """Note what the factory flashed; it is in its place already."""
        make_dirs(self._root, disk=self._disk)
        write_facts(self._root / "running.cbor", release, disk=self._disk)

    def start(self) -> Boot:
        """See `Slots`. May boot instead, where the image before is not back yet."""
        make_dirs(self._root, disk=self._disk)
        remove_leftovers(self._root, disk=self._disk)
        trial = self._read_trial()
        if trial is None:
            return Boot.CONFIRMED
        if self._waits_for_reboot(trial):
            self.reboot()
        if self._state() == trial.before:
            # Never came up, fell back by itself, or was put back.
            if trial.phase != "reverting":
                self._run("revert", trial)
            remove(self._trial, disk=self._disk)
            return Boot.CONFIRMED if trial.phase == "installing" else Boot.REVERTED
        if trial.phase in ("installing", "armed"):
            self._write_trial(trial, "booted")
            return Boot.TRIAL
        if trial.phase == "confirming":
            self._finish(trial)
            return Boot.CONFIRMED
        self.revert()
        return self.reboot()

    def running(self) -> ImageSet | None:
        """See `Slots`."""
        trial = self._read_trial()
        if trial is not None and trial.phase in ("booted", "confirming"):
            return trial.release
        return read_facts(self._root / "running.cbor")

    def environment(self) -> dict[str, str]:
        """See `Slots`. The slot is what `state` prints, the images the files handed over last."""
        release = read_facts(self._handed / "slot.cbor")
        return {"FIELDPOST_SLOT": self._state()} | self._image_words(release)

    def check_fits(self, release: ImageSet) -> None:
        """See `Slots`. The commands install what their owner says that they do, and all of it."""
        wanted = self._commands.components
        named = sorted(name_of(image.id) for image in release.images)
        if named != sorted(wanted) if wanted else len(named) != 1:
            raise Untrusted(
                "unsupported",
                f"the release has {', '.join(named)}; the slot's commands install "
                f"{', '.join(wanted) or 'one image'} (agent.toml: components)",
            )

    def holds(self, release: ImageSet) -> bool:
        """See `Slots`."""
        return read_facts(self._handed / "slot.cbor") == release and is_whole(self._handed)

    def install(self, release: ImageSet, fill: Fill) -> None:
        """See `Slots`. The command itself is run when the trial begins."""
        write_release(self._handed, release, fill, disk=self._disk)

    def begin_trial(self) -> None:
        """Run `install` and `activate`. Raises Unavailable if one fails, Conflict with nothing."""
        release = read_facts(self._handed / "slot.cbor")
        if release is None:
            raise Conflict("there is nothing to hand over")
        # Its last fsync may have failed in an attempt before this one; then its names can vanish.
        remove_leftovers(self._handed, disk=self._disk)
        boot = self._boot_id()
        trial = _Trial(phase="installing", before=self._state(), release=release, boot=boot)
        # Before any command: some installers activate by themselves.
        self._write_trial(trial, "installing")
        try:
            self._run("install", trial)
            self._run("activate", trial)
        except Unavailable:
            self._run("revert", trial)
            remove(self._trial, disk=self._disk)
            raise
        self._write_trial(trial, "armed")

    def confirm(self) -> None:
        """See `Slots`."""
        trial = self._read_trial()
        if trial is None or trial.phase not in ("booted", "confirming"):
            raise Conflict("nothing is on trial")
        self._write_trial(trial, "confirming")
        self._finish(trial)

    def revert(self) -> None:
        """See `Slots`. Raises Unavailable where it was tried often enough and changes nothing."""
        trial = self._read_trial()
        if trial is None:
            return
        tries = trial.tries + 1 if trial.phase == "reverting" else 1
        if tries > _MOST_REVERTS:
            raise Unavailable(f"the image on trial runs still, after {_MOST_REVERTS} reverts")
        self._write_trial(replace(trial, tries=tries), "reverting")
        self._run("revert", trial)

    def reboot(self) -> NoReturn:
        """See `Slots`. With a `reboot` command this process ends and leaves the rest to it."""
        if not self._commands.reboot:
            self._boot()
        self._run("reboot", self._read_trial())
        raise SystemExit(0)

    def _waits_for_reboot(self, trial: _Trial) -> bool:
        """Whether this program was started again while the machine is still to go down."""
        name = self._boot_id()
        wanted = trial.phase in ("armed", "reverting") and bool(self._commands.reboot)
        return wanted and name != "" and name == trial.boot

    def _finish(self, trial: _Trial) -> None:
        self._run("confirm", trial)
        write_facts(self._root / "running.cbor", trial.release, disk=self._disk)
        remove(self._trial, disk=self._disk)

    def _image_words(self, release: ImageSet | None) -> dict[str, str]:
        folder = self._handed.absolute()
        if release is None:
            return {"FIELDPOST_IMAGE": str(image_path(folder, 0))}
        paths = [image_path(folder, number) for number in range(len(release.images))]
        return image_words(release, paths)

    def _state(self) -> str:
        ran = run_command(
            self._commands.state,
            what="the slot's state command",
            environment={},
            timeout_s=self._commands.timeout_s,
            listens=True,
        )
        word = ran.output.decode("ascii", "replace").strip()
        if ran.status or not 1 <= len(word) <= _MOST_STATE or not word.isprintable():
            raise Unavailable(f"the slot's state command says {word[:80]!r}, status {ran.status}")
        return word

    def _run(self, name: str, trial: _Trial | None) -> None:
        """Run one of the commands. Raises Unavailable unless it ends with 0."""
        installs = name == "install"
        ran = run_command(
            getattr(self._commands, name),
            what=f"the slot's {name} command",
            environment={} if trial is None else self._environment_of(trial),
            timeout_s=self._commands.install_timeout_s if installs else self._commands.timeout_s,
        )
        if ran.status:
            raise Unavailable(f"the slot's {name} command ended with status {ran.status}")

    def _environment_of(self, trial: _Trial) -> dict[str, str]:
        release = trial.release
        return {
            "FIELDPOST_SLOT": trial.before,
            "FIELDPOST_SEQUENCE": str(release.sequence),
            "FIELDPOST_VERSION": release.version,
        } | self._image_words(release)

    def _read_trial(self) -> _Trial | None:
        try:
            data = self._trial.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"cannot read {self._trial}: {error.strerror}") from error
        try:
            match cbor.decode(data):
                case (str(phase), str(before), tuple(facts), str(boot), int(tries)):
                    release = parse_facts(facts)
                    if release is not None:
                        return _Trial(
                            phase=phase, before=before, release=release, boot=boot, tries=tries
                        )
        except Malformed:
            pass
        # It was written whole, so the medium lost it; what booted must run all the same.
        return None

    def _write_trial(self, trial: _Trial, phase: str) -> None:
        boot = self._boot_id()
        value = [phase, trial.before, facts_of(trial.release), boot, trial.tries]
        write_file(self._trial, cbor.encode(value), disk=self._disk)
