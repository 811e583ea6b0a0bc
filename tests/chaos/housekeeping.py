"""The application with a schedule of housekeeping alone: a full hour that strikes in mid-test brings no other run."""

from workers.app import app
from workers.beat import HEARTBEAT

app.conf.beat_schedule = {HEARTBEAT: app.conf.beat_schedule[HEARTBEAT]}
