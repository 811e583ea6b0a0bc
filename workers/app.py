"""The Celery application, its base task, and what a worker process opens and closes.

Importing this module starts nothing and connects to nothing.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import cache
from typing import Any

import redis
import structlog
from celery import Celery, Task
from celery.exceptions import Ignore
from celery.signals import (
    before_task_publish,
    celeryd_init,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from structlog.contextvars import bind_contextvars, unbind_contextvars

from parlex import logs
from parlex.db import errors as db_errors
from parlex.db.clock import Clock
from parlex.errors import ConfigurationError, ParlexError, Retryable, UsageError
from parlex.fetching import redis_errors
from parlex.local.embedded import resolve
from parlex.mirror import identity
from parlex.resources import Resources
from parlex.runs import run_keys
from parlex.runs.steps import LONGEST_COUNTDOWN
from parlex.settings import UNREACHABLE, settings
from parlex.watch import broker

log = structlog.stdlib.get_logger(__name__)

MIRROR = "parlex_mirror"  # header of each message: the id of the mirror that sent it
# Header of a message that came to another mirror: how often it was passed on. Redis hands messages to its clients in
# turn, so that two beats in step would give each mirror the other's for ever; soon the right one has its turn.
PASSED_ON = "parlex_passed_on"
MOST_PASSED_ON = 5
EXPIRES = "parlex_expires"  # and of beat's: the instant, by the database's clock, from which it is worth nothing
_ONE_REDIS_EACH = "give each mirror a Redis database of its own"


class ParlexTask(Task):
    """Retries what may succeed later, three times, after about 60, 120 and 240 s (``PARLEX_RETRY_DELAY``).

    That is for servers that are away; a source that is asked again later is a row, and no retry of a task. Celery's own
    back-off draws the whole wait at random; ours varies by a fifth.
    """

    # A database or a Redis that restarts is worth another try as well. What else a database says is told in ``retry``.
    autoretry_for = (Retryable, DBAPIError, redis.ConnectionError, redis.TimeoutError)
    # Our own errors say in one line what is wrong; a traceback would add nothing but noise.
    throws = (ParlexError,)
    max_retries = run_keys.MAX_RETRIES
    retry_backoff = False
    Request = "workers.request:Request"

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """ConfigurationError, in one line, where no Redis was set or running when the application was configured."""
        if self.app.conf.broker_url == UNREACHABLE:
            resolve(settings())
            raise ConfigurationError("the servers started after this process: start it again to use them")
        return super().apply_async(*args, **options)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """A message of another mirror is passed on, at last UsageError; one that lay too long is Ignored."""
        headers = self.request.headers or {}
        if EXPIRES in headers and _has_expired(headers[EXPIRES]):
            log.info("message expired: a later tick does its work", task=self.name)
            if self.send_events:
                self.send_event("task-revoked", terminated=False, signum=None, expired=True)
            raise Ignore
        sender = headers.get(MIRROR)
        if sender is None:
            # An older release says nothing, nor does a beat whose database is away. What names a run must name one of
            # this mirror, which the task itself looks up.
            return
        mine = _mirror_id()
        if mine is not None and sender != mine:
            _note_stranger(sender)
            passed_on = headers.get(PASSED_ON, 0)
            if isinstance(passed_on, int) and passed_on < MOST_PASSED_ON:
                self._pass_on(task_id, args, kwargs, {**headers, PASSED_ON: passed_on + 1})
                raise Ignore
            log.error("message of another mirror refused", task=self.name, sender=_shortened(sender), mirror=mine)
            raise UsageError(f"this message is of another mirror, {_shortened(sender)}: {_ONE_REDIS_EACH}")

    def _pass_on(self, task_id: str, args: Any, kwargs: Any, headers: dict[str, Any]) -> None:
        """Put the message back, at the end of its queue."""
        ours = {name: value for name, value in headers.items() if name.startswith("parlex_")}
        queue = self.request.delivery_info["routing_key"]
        self.apply_async(args, kwargs, task_id=task_id, queue=queue, headers=ours)
        log.warning("message of another mirror passed on", task=self.name, sender=_shortened(headers[MIRROR]))

    def retry(
        self, *args: Any, exc: BaseException | None = None, countdown: float | None = None, **options: Any
    ) -> Any:
        told = exc and (db_errors.explain(exc) or redis_errors.explain(exc))
        if exc is not None and told and not (db_errors.can_heal(exc) or redis_errors.can_heal(exc)):
            # A wrong password stays wrong: waiting would only hide it for seven minutes.
            raise ConfigurationError(told) from exc
        if isinstance(exc, DBAPIError) and not isinstance(exc, OperationalError) and not told:
            raise exc  # an error of the program
        if countdown is None:
            delay = run_keys.backoff(self.request.retries + 1, settings().retry_delay)
            # A longer countdown would outlive the visibility timeout, and the task would run twice.
            countdown = min(delay, LONGEST_COUNTDOWN)
        return super().retry(*args, exc=exc, countdown=countdown, **options)


if settings().log_format == "json" and not logging.getLogger().handlers:
    # From the first line on, whichever program of Celery's this is: Flower would else write as it likes.
    logs.configure(settings())

app = Celery("parlex", task_cls=ParlexTask, control="workers.control:Control")
app.config_from_object("celeryconfig")
app.conf.imports = ("workers.tasks",)


@cache
def resources() -> Resources:
    """This process's engine and client, opened on first use: after the fork, never before."""
    return Resources(settings(), resolve(settings()))


_known: list[str] = []  # the mirror's id, once it was read


def _mirror_id() -> str | None:
    """The id of the mirror that this process works for; None while its database does not say."""
    if not _known:
        try:
            with resources().db() as db:
                _known.append(str(identity.mirror_id(db)))
        except (SQLAlchemyError, ParlexError) as error:
            log.debug("the mirror's id is not known", error=db_errors.explain(error) or str(error))
            return None
    return _known[0]


def _has_expired(instant: object) -> bool:
    """By the database's clock. Where that is away, the task itself says so."""
    try:
        expires = datetime.fromisoformat(instant if isinstance(instant, str) else "")
        with resources().db() as db:
            return Clock(db).now() > expires
    except (ValueError, TypeError):
        raise UsageError(f"{EXPIRES} must be an instant in ISO 8601 with its zone, not {instant!r:.50}") from None
    except (SQLAlchemyError, ParlexError):
        return False


def _note_stranger(sender: object) -> None:
    try:
        with resources().db() as db:
            identity.note_stranger(db, _shortened(sender))
    except (SQLAlchemyError, ParlexError) as error:
        # Its message is refused all the same, and the log names it.
        log.warning("the other mirror is not noted", error=db_errors.explain(error) or str(error))


def _shortened(sender: object) -> str:
    return str(sender)[:36]  # an id; whatever else somebody writes there is no longer


@worker_process_init.connect
def _forget_parent(**_: Any) -> None:
    """A child opens its own connections; the parent never had any, since it runs no task."""
    resources.cache_clear()
    logs.report_errors(settings())


@worker_process_shutdown.connect
@worker_shutdown.connect
def _close(**_: Any) -> None:
    if resources.cache_info().currsize:
        resources().close()
        resources.cache_clear()


@before_task_publish.connect
def _stamp(headers: dict[str, Any], **_: Any) -> None:
    """Say in each message when it was sent, since the broker does not, and by which mirror; one that is passed on says
    it already."""
    headers[broker.SENT_AT] = datetime.now(UTC).isoformat()
    if MIRROR not in headers and (mine := _mirror_id()):
        headers[MIRROR] = mine


@task_prerun.connect
def _about_task(task_id: str, task: Task, args: Any, kwargs: dict[str, Any], **_: Any) -> None:
    """Name the task on each line that it writes, and its run where its arguments do."""
    about = {"task": task.name, "task_id": task_id, "run_id": _run_named(task, args, kwargs)}
    bind_contextvars(**{name: value for name, value in about.items() if value})


@task_postrun.connect
def _about_none(**_: Any) -> None:
    unbind_contextvars("task", "task_id", "run_id")


def _run_named(task: Task, args: Any, kwargs: dict[str, Any]) -> str | None:
    found = dict(zip(task.run.__code__.co_varnames, args, strict=False)) | kwargs
    return found.get("run_id")


@celeryd_init.connect
def _no_banner(instance: Any, **_: Any) -> None:
    """Whoever reads JSON lines reads nothing else."""
    if settings().log_format == "json":
        logs.configure(settings())
        instance.quiet = True


@setup_logging.connect
def _log_as_we_do(**_: Any) -> None:
    logs.configure(settings())
    logs.report_errors(settings())
