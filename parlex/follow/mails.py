"""E-mail: the question whether one wants it, and digests of what changed, as plain text and as HTML, in one language.

Each has links that end it: one for people, whose page asks first, and one for their mail program, which only posts.
"""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from html import escape
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
from sqlalchemy.orm import Session

from parlex.datasets import told
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Words
from parlex.datasets.told import Lines
from parlex.db.models import DeliveryRow, SubscriptionRow
from parlex.follow import bodies, subscriptions
from parlex.follow.bodies import Composed
from parlex.follow.matching import Found
from parlex.follow.webhooks import SECONDS, Sent
from parlex.mirror import history
from parlex.serving import paths
from parlex.serving.feeds import ALL
from parlex.serving.records import PREFIX
from parlex.settings import MAIL, Settings

# A line of a header is as long as SMTP lets it be: the library folds an address only by encoding it, and an encoded
# List-Unsubscribe is one that mail programs do not understand.
_POLICY = policy.SMTP.clone(max_line_length=998)
SHOWN = 50  # records below one heading; the rest is counted, and where to see it is said
_ASKED = Words("Do you want news of Parliament by e-mail?", "Voulez-vous des nouvelles du Parlement par courriel?")
_AGREE = Words(
    "Somebody, most likely you, asked that this address be told what changes in Parliament. If you want that, say so"
    " on this page. If not, do nothing: you will not be written to again.",
    "Quelqu’un, probablement vous, a demandé que cette adresse soit avisée de ce qui change au Parlement. Si vous le"
    " voulez, dites-le sur cette page. Sinon, ne faites rien : on ne vous écrira plus.",
)
_END = Words("End these messages", "Ne plus recevoir ces messages")
_YES = Words("Yes, write to me", "Oui, écrivez-moi")
_MORE = Words("and {} more", "et {} de plus")
_LIST = Words("The whole list", "La liste complète")
_MUCH = Words("More than {} lines of the history are new at once.", "Plus de {} lignes de l’historique sont nouvelles.")

Part = tuple[str, list[tuple[str, str | None]]]  # a heading, and lines with the address of each


class Mail(NamedTuple):
    """What a message is made of."""

    subject: str
    parts: Sequence[Part]


def said(words: Words, row: SubscriptionRow) -> str:
    """In the language of the subscription."""
    text: str = getattr(words, row.language)
    return text


def question(row: SubscriptionRow, settings: Settings) -> str:
    link = link_to(row, subscriptions.CONFIRM, settings)
    return _body(Mail(said(_ASKED, row), [(said(_AGREE, row), [(said(_YES, row), link)])]), None, row)


def digest(
    db: Session, row: SubscriptionRow, found: Found, datasets: Mapping[str, Dataset], settings: Settings
) -> Composed:
    """All the lines, grouped: by dataset, by what happened, by record."""
    wanted = set(found.seqs)
    lines = history.changes(db, row.cursor, limit=found.seqs[-1] - row.cursor)
    news = told.by_dataset((line for line in lines if line.seq in wanted), datasets)
    parts = [part for dataset, of in news for part in _of_dataset(db, dataset, of, row, settings)]
    parts.append((said(_LIST, row), [(_list_of(row, settings), _list_of(row, settings))]))
    to = found.seqs[-1] if found.more else found.looked_to
    return Composed(_body(Mail(_subject(row), parts), settings, row), to, len(found.seqs))


def too_many(row: SubscriptionRow, last: int, most: int, settings: Settings) -> Composed:
    link = _list_of(row, settings)
    mail = Mail(_subject(row), [(said(_MUCH, row).format(most), [(link, link)])])
    return Composed(_body(mail, settings, row), last, 0)


def link_to(row: SubscriptionRow, act: str, settings: Settings) -> str:
    return _here(f"{PREFIX}/subscriptions/{row.id}/{act}?token={subscriptions.token(row, act)}", settings)


def _list_of(row: SubscriptionRow, settings: Settings) -> str:
    """The page of the history, as near to the subscription's filter as its own are."""
    query = paths.query_of(bodies.narrowed(row))
    return _here(paths.path(row.language, "changes") + (f"?{query}" if query else ""), settings)


def _here(path: str, settings: Settings) -> str:
    return f"{settings.web_url or bodies.HERE}{path}"


def page(row: SubscriptionRow, act: str, *, done: bool) -> str:
    """What a link of a message shows: a button, and when it was pressed, that it is done."""
    words = _YES if act == subscriptions.CONFIRM else _END
    title = f"{said(words, row)}: {row.address}"
    button = f'<form method="post"><button>{escape(said(words, row))}</button></form>'
    body = f"<p>{escape(title)}</p>" + ("<p>✓</p>" if done else button)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html><html lang="{row.language}"><head>{head}</head><body>{body}</body></html>'


def send(settings: Settings, delivery: DeliveryRow, row: SubscriptionRow, now: datetime) -> Sent:
    """Hand a message to the mail server, now. ``gone``: it refuses the address for good."""
    assert settings.smtp_url is not None
    url = urlsplit(settings.smtp_url.get_secret_value())
    message = _message(settings, delivery, row, now)
    secure = url.scheme == "smtps"
    server: Any = partial(smtplib.SMTP_SSL, context=httpx.create_ssl_context()) if secure else smtplib.SMTP
    try:
        with server(url.hostname or "", url.port or (465 if secure else 587), timeout=SECONDS) as link:
            link.ehlo()
            if not secure and link.has_extn("starttls"):
                link.starttls(context=httpx.create_ssl_context())
                secure = True
            if url.username and not secure:
                return Sent("the mail server offers no STARTTLS: the password is not sent to it")
            if url.username:
                link.login(unquote(url.username), unquote(url.password or ""))
            link.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        status, answer = next(iter(error.recipients.values()))
        return _refused(status, answer, gone=status >= 500)
    except smtplib.SMTPDataError as error:
        return _refused(error.smtp_code, error.smtp_error, gone=error.smtp_code >= 500)
    except smtplib.SMTPResponseException as error:  # of us, and not of the address
        return _refused(error.smtp_code, error.smtp_error, gone=False)
    except (smtplib.SMTPException, OSError) as error:
        return Sent(f"the mail server cannot be used: {type(error).__name__}")
    return Sent(None, 250)


def _refused(status: int, answer: bytes | str, *, gone: bool) -> Sent:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return Sent(f"refused with {status}", status, text.replace("\x00", "")[:500], gone=gone)


def _message(settings: Settings, delivery: DeliveryRow, row: SubscriptionRow, now: datetime) -> EmailMessage:
    body = json.loads(delivery.body or question(row, settings))
    sender = _sender(settings)
    message = EmailMessage(policy=_POLICY)
    message["From"], message["To"] = Address("Parlex", addr_spec=sender), row.address
    message["Subject"], message["Date"] = body["subject"], format_datetime(now)
    message["Message-ID"] = f"<{delivery.id}@{sender.partition('@')[2]}>"  # equal on repeats
    message["Auto-Submitted"] = "auto-generated"
    if delivery.type != "confirm":
        message["List-Unsubscribe"] = f"<{link_to(row, subscriptions.UNSUBSCRIBE, settings)}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(body["text"])
    message.add_alternative(body["html"], subtype="html")
    message["Content-Language"] = row.language  # what is set before goes to the first part
    return message


def _sender(settings: Settings) -> str:
    assert settings.smtp_url is not None
    given = dict(parse_qsl(urlsplit(settings.smtp_url.get_secret_value()).query)).get("from")
    contact = settings.contact if settings.contact and MAIL.fullmatch(settings.contact) else None
    return given or contact or f"parlex@{urlsplit(settings.web_url or bodies.HERE).hostname}"


def _subject(row: SubscriptionRow) -> str:
    return f"Parlex: {said(ALL, row)}"


def _of_dataset(
    db: Session, dataset: Dataset, lines: Lines, row: SubscriptionRow, settings: Settings
) -> Iterator[Part]:
    titles = dataset.titles(db, lines, row.language)
    called = said(dataset.served.called, row) if dataset.served else dataset.name
    for heading, found in told.grouped(dataset, lines, row.language):
        rows: list[tuple[str, str | None]] = [
            (
                told.sentence(key, titles.get(key, ""), of),
                _here(paths.record_path(row.language, dataset, key), settings),
            )
            for key, of in [*found.items()][:SHOWN]
        ]
        if len(found) > SHOWN:
            rows.append((said(_MORE, row).format(len(found) - SHOWN), _list_of(row, settings)))
        yield f"{called[:1].upper()}{called[1:]}: {heading}", rows


def _body(mail: Mail, settings: Settings | None, row: SubscriptionRow) -> str:
    """Both parts; ``settings``: for the link that ends the messages, which a question does not have."""
    parts: list[Part] = [*mail.parts]
    if settings:
        parts.append(("—", [(said(_END, row), link_to(row, subscriptions.UNSUBSCRIBE, settings))]))
    text: list[str] = []
    html: list[str] = []
    for heading, lines in parts:
        text += ["", heading]
        html.append(f"<h2>{escape(heading)}</h2>")
        for line, link in lines:
            text.append(f"- {line}" + (f"\n  {link}" if link and link != line else ""))
            html.append(f'<p><a href="{escape(link)}">{escape(line)}</a></p>' if link else f"<p>{escape(line)}</p>")
    page = f'<!doctype html><html lang="{row.language}"><meta charset="utf-8"><body>{"".join(html)}</body></html>'
    return json.dumps({"subject": mail.subject, "text": "\n".join(text[1:]), "html": page}, ensure_ascii=False)
