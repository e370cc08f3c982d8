"""Fetch CIFAR-10's official binary archive: checked, atomic, quick to notice that the machine is offline.

Every call downloads into a folder of its own beside the target and renames the archive when its checksum is right, so
whatever interrupts it leaves nothing that could be mistaken for the archive, and a second call starts afresh. It holds
the operating system's lock on that folder, which ends with the process, however that ends: the next call removes what
a killed one left, and lets a living one work.
"""

import logging
import shutil
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from resnet_np.errors import DataError

ARCHIVE = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CONNECT_TIMEOUT = 5.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte
PARTIAL = f"{ARCHIVE}.part-"  # begins the name of the folder of one call
LOCK = "lock"
BY_HAND = "or download it on another machine and give it with --data FILE"


def cache_folder() -> Path:
    """Where the archive is kept between runs: the operating system's cache folder for this user."""
    import pooch

    return Path(pooch.os_cache("resnet_np"))


def fetch(folder: Path | None = None, *, progress: bool = True) -> Path:
    """The path of the official archive in `folder` (default: the user's cache), fetched if it is not there already.

    Raises DataError, one line, when it cannot be had; within six seconds if the machine is offline.
    """
    import pooch
    import requests

    folder = folder or cache_folder()
    host = urlsplit(URL).hostname
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        _remove_leftovers(folder)
        if _is_intact(folder / ARCHIVE):
            return folder / ARCHIVE
        _wait_for_answer()
        return _download(folder, progress)
    except requests.exceptions.SSLError:
        raise DataError(f"fetch: the TLS certificate of {host} could not be verified; check this machine's clock and "
                        f"its certificates (python -m pip install --upgrade certifi), {BY_HAND}") from None
    except requests.exceptions.HTTPError as error:
        raise DataError(f"fetch: {' '.join(str(error).split())}; try again later, {BY_HAND}") from None
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout):
        raise DataError(f"fetch: offline: no answer from {host}; connect this machine, {BY_HAND}") from None
    except requests.exceptions.RequestException as error:
        raise DataError(f"fetch: {URL} cannot be fetched ({type(error).__name__}); {BY_HAND}") from None
    except ValueError:  # pooch's word for a wrong checksum
        raise DataError(f"fetch: what {host} sent is not the official archive (its sha256 differs) and was deleted; "
                        f"run it again, {BY_HAND}") from None
    except OSError as error:
        raise DataError(f"fetch: {folder}: cannot be written ({error.strerror}); "
                        "choose another folder: python -m data_tools fetch --to FOLDER") from None


def _download(folder: Path, progress: bool) -> Path:
    import filelock
    import pooch
    import requests

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder) as own, filelock.FileLock(Path(own) / LOCK):
        timeouts = (CONNECT_TIMEOUT, READ_TIMEOUT)
        downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16, timeout=timeouts)
        try:
            path = Path(pooch.retrieve(URL, SHA256, fname=ARCHIVE, path=own, downloader=downloader))
        except requests.exceptions.SSLError:  # a kind of ConnectionError, but nothing was lost
            raise
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError, requests.exceptions.Timeout):
            raise DataError(f"fetch: the connection to {urlsplit(URL).hostname} was lost; run it again, {BY_HAND}") from None
        return path.replace(folder / ARCHIVE)


def _remove_leftovers(folder: Path) -> None:
    import filelock

    for leftover in folder.glob(f"{PARTIAL}*"):
        try:
            with filelock.FileLock(leftover / LOCK, blocking=False):
                pass
        except OSError:  # locked: another process is writing there; or it is not ours to remove
            continue
        shutil.rmtree(leftover, ignore_errors=True)


def _is_intact(archive: Path) -> bool:
    import pooch

    return archive.is_file() and pooch.file_hash(str(archive)) == SHA256


def _wait_for_answer() -> None:
    # requests' connect timeout counts neither the name look-up, which may hang for a minute behind a dead router, nor
    # the host's other addresses. So the first contact runs in a thread that is left behind when its time is up.
    import requests

    failures: list[Exception] = []

    def contact() -> None:
        try:
            requests.head(URL, timeout=(CONNECT_TIMEOUT, CONNECT_TIMEOUT / 2))  # the answer: within the thread's own time
        except requests.exceptions.ReadTimeout:
            pass  # connected: a slow server, and the download has a longer patience
        except requests.exceptions.RequestException as error:
            failures.append(error)

    thread = threading.Thread(target=contact, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT)
    if thread.is_alive():
        raise requests.exceptions.ConnectTimeout
    if failures:
        raise failures[0]
