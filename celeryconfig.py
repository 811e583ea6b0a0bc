"""Celery's settings and the schedule, nothing else. Addresses come from ``parlex.settings``.

The reasons stand beside the settings; where a number was measured, it was with the pinned versions.
"""

import ssl
from datetime import timedelta

from celery.schedules import crontab
from kombu import Exchange, Queue

from parlex.errors import ConfigurationError
from parlex.local.embedded import resolve
from parlex.runs.queues import CONTROL, FETCH, PERSIST, QUEUES
from parlex.settings import UNREACHABLE, settings

_settings = settings()
try:
    broker_url = resolve(_settings).redis_url
except ConfigurationError:
    # Importing this must not fail where nothing runs yet; whoever dispatches is then refused a connection.
    broker_url = UNREACHABLE
result_backend = broker_url

if broker_url.startswith("rediss://"):
    # A bare rediss:// broker would silently check no certificate.
    broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    redis_backend_use_ssl = broker_use_ssl

# JSON only: whoever can write to the broker could run code through a pickle.
accept_content = ["json"]
result_accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"
event_serializer = "json"

timezone = "UTC"
enable_utc = True

# Three queues, so that a tick never waits behind a backfill and each can be scaled and watched alone.
task_queues = [Queue(name, Exchange(name), routing_key=name) for name in QUEUES]
task_default_queue = CONTROL
task_create_missing_queues = False  # a misspelt queue is an error, not a place where messages wait for ever
task_routes = {
    "parlex.fetch_bills": {"queue": FETCH},
    "parlex.persist_bills": {"queue": PERSIST},
    "parlex.read_again": {"queue": PERSIST},
    "parlex.export": {"queue": PERSIST},  # it works on the database for as long as it takes
}

# A message is acknowledged when its task is done, so that a killed worker loses none.
task_acks_late = True
task_reject_on_worker_lost = True
# With late acknowledgement this is what one dead worker can hold.
worker_prefetch_multiplier = 1
# A task outlives the connection: its keys are under a lease, so that its redelivery finds nothing to do. Cancelling it
# would write to the result backend, in the very Redis that was just lost, and celery 5.6.3 ends the worker over that.
worker_cancel_long_running_tasks_on_connection_loss = False

# Frees a child that hangs. The soft limit lets the task give its keys back.
task_time_limit = 300
task_soft_time_limit = 270
# Recycle children before a slow leak matters (kilobytes). Not often: until the next child is there, which can take five
# seconds (celery issue 9588), a queue with one process stands still.
worker_max_tasks_per_child = 10_000
worker_max_memory_per_child = 300_000

# Longer than the longest task plus the longest countdown (300 + 300): else one message would run several times.
visibility_timeout = 900

broker_transport_options = {
    "visibility_timeout": visibility_timeout,
    # Look for expired messages each 10 s; the default looks only each 100 s.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    # A half-open connection would otherwise silence a worker for ever.
    "socket_timeout": 20,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # The Redis may serve others too.
    "global_keyprefix": "parlex:",
    "client_name": "parlex",
}
broker_connection_retry_on_startup = True  # workers may start before Redis does
broker_connection_max_retries = None  # and wait for it for ever; the default gives up after 100
broker_pool_limit = 10
# Publishing survives a Redis that restarts within half a minute; the sweeper heals what does not.
task_publish_retry_policy = {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 5}

# Only a shell reads results, through the run's figures; every other task would only cost a subscription.
task_ignore_result = True
result_expires = 3600
result_extended = True  # Flower shows names and arguments
redis_socket_timeout = 20
redis_socket_connect_timeout = 5
redis_socket_keepalive = True
redis_retry_on_timeout = True
redis_backend_health_check_interval = 10
result_backend_transport_options = {
    "visibility_timeout": visibility_timeout,
    "global_keyprefix": "parlex:",
    "retry_policy": {"timeout": 5.0, "max_retries": 3},
}

# Flower lives on events: the workers'. Whoever sends a task would be one more worker there, by the name of gen….
worker_send_task_events = True
task_send_sent_event = False
worker_hijack_root_logger = False  # parlex.logs decides how a line looks

# A warm stop gets this long, then tasks are put back and run elsewhere (needs REMAP_SIGTERM=SIGQUIT).
worker_soft_shutdown_timeout = 20
worker_eta_task_limit = 1000  # retries wait in the worker's memory, beyond the prefetch

beat_scheduler = "workers.beat:SlotScheduler"
beat_max_loop_interval = 10

_HOUR = 3600

beat_schedule = {
    "fetch-latest-bills-hourly": {
        "task": "parlex.fetch_latest_bills",
        "schedule": crontab(minute=0),
        "kwargs": {"limit": 50},
        # A tick that nobody took within its hour is the next tick's work.
        "options": {"expires": _HOUR - 60},
    },
    "fetch-latest-bills-daily": {
        "task": "parlex.fetch_latest_bills",
        "schedule": crontab(minute=0, hour=2),
        "kwargs": {"limit": 100, "recheck_after_days": 7},
        "options": {"expires": 12 * _HOUR},
    },
    "monitor-fetch-operations": {
        "task": "parlex.monitor_fetch_operations",
        "schedule": crontab(minute=0, hour=3),
        "kwargs": {"hours_back": 24},
        "options": {"expires": 12 * _HOUR},
    },
    "sweep-sessions-weekly": {
        "task": "parlex.sweep_sessions",
        "schedule": crontab(minute=30, hour=4, day_of_week="sunday"),
        "options": {"expires": 24 * _HOUR},
    },
    "prune": {
        "task": "parlex.prune",
        "schedule": crontab(minute=15, hour=5),
        "options": {"expires": 12 * _HOUR},
    },
    # Never on the bills' full hour, since all share the hosts' budgets. 300 requests take 12 minutes.
    "fetch-latest-politicians-daily": {
        "task": "parlex.fetch_latest_politicians",
        "schedule": crontab(minute=35, hour=3),
        "kwargs": {"limit": 300, "recheck_after_days": 30},
        "options": {"expires": 12 * _HOUR},
    },
    # A division is two requests: at most 8 minutes. What is beyond that is the next hour's work.
    "fetch-latest-votes-hourly": {
        "task": "parlex.fetch_latest_votes",
        "schedule": crontab(minute=20),
        "kwargs": {"limit": 100},
        "options": {"expires": _HOUR - 60},
    },
    "monitor-politician-operations": {
        "task": "parlex.monitor_politician_operations",
        "schedule": crontab(minute=15, hour=4),
        "kwargs": {"hours_back": 24},
        "options": {"expires": 12 * _HOUR},
    },
    # Does nothing without PARLEX_ARCHIVE_URL. Off the full hour, when the latest bills are fetched.
    "archive-documents-hourly": {
        "task": "parlex.archive_documents",
        "schedule": crontab(minute=40),
        "options": {"expires": _HOUR - 60},
    },
    "check-alerts": {
        "task": "parlex.check_alerts",
        "schedule": timedelta(seconds=60),
        "options": {"expires": 55},
    },
    # The heartbeat: sends again what is overdue, closes what is dead, and says that beat and a worker are alive.
    "keep-house": {
        "task": "parlex.keep_house",
        "schedule": timedelta(seconds=_settings.keep_house_seconds),
        "options": {"expires": 0.8 * _settings.keep_house_seconds},
    },
}

if _settings.export_url is not None:
    beat_schedule["export-nightly"] = {
        "task": "parlex.export",
        "schedule": crontab(minute=45, hour=5),
        "options": {"expires": 12 * _HOUR},
    }
