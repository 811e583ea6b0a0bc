"""The application with one more entry in its schedule, so that two beats meet soon: for ``celery -A``."""

from celery.schedules import crontab

from workers.app import app

app.conf.beat_schedule = {
    "every-minute": {"task": "parlex.fetch_latest_bills", "schedule": crontab(), "kwargs": {"limit": 50}}
}
