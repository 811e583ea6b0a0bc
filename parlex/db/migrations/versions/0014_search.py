r"""search: the words of each thing, in both languages

No extension is needed, since a managed server may not let us create one: accents are taken away by Unicode's own
decomposition, which PostgreSQL has. What the search compares is made by one function, of the text and of the question
alike:

- tags are no words, and no more than 250,000 characters are read: a tsvector has a limit, which no text may break;
- letters are compared without accents and case; œ is oe, æ is ae;
- the number of a bill is one word, ``c2``, and so is a session with it, ``45s1``;
- all else between letters and digits is a space. PostgreSQL would glue a typographic apostrophe to its word, and take
  ``and/or`` for a file and ``2021-2022`` for a negative number.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

FUNCTION = r"""
CREATE FUNCTION parlex_words(given text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT regexp_replace(regexp_replace(regexp_replace(
    replace(replace(
        lower(regexp_replace(
            normalize(regexp_replace(left(given, 250000), '</?[a-zA-Z][^>]*>', ' ', 'g'), NFKD),
            '[\u0300-\u036f]', '', 'g'
        ) COLLATE "C"),
    'œ', 'oe'), 'æ', 'ae'),
    '(^|[^a-z0-9])([cs])-(?=[0-9])', '\1\2', 'g'),
    '(^|[^a-z0-9])([3-9][0-9])-([1-9])(?![0-9])', '\1\2s\3', 'g'),
    '[^a-z0-9\u00c0-\u1fff\u2c00-\uffff]+', ' ', 'g')
$$;
"""

# A key has most weight, then a title. A name has no language: in English, Will would be no word.
COLUMNS = """
ALTER TABLE bills
    ADD COLUMN words_en tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.simple', parlex_words(parliament::text || '-' || session::text || ' ' || number)), 'A')
        || setweight(to_tsvector('pg_catalog.english', parlex_words(title_en || ' ' || coalesce(short_title_en, ''))), 'B')
        || setweight(to_tsvector('pg_catalog.english', parlex_words(coalesce(summary_en, ''))), 'D')
    ) STORED,
    ADD COLUMN words_fr tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.simple', parlex_words(parliament::text || '-' || session::text || ' ' || number)), 'A')
        || setweight(to_tsvector('pg_catalog.french', parlex_words(title_fr || ' ' || coalesce(short_title_fr, ''))), 'B')
        || setweight(to_tsvector('pg_catalog.french', parlex_words(coalesce(summary_fr, ''))), 'D')
    ) STORED;
ALTER TABLE votes
    ADD COLUMN words_en tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.simple', parlex_words(parliament::text || '-' || session::text || ' ' || coalesce(bill_number, ''))), 'C')
        || setweight(to_tsvector('pg_catalog.english', parlex_words(coalesce(description_en, ''))), 'C')
    ) STORED,
    ADD COLUMN words_fr tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.simple', parlex_words(parliament::text || '-' || session::text || ' ' || coalesce(bill_number, ''))), 'C')
        || setweight(to_tsvector('pg_catalog.french', parlex_words(coalesce(description_fr, ''))), 'C')
    ) STORED;
ALTER TABLE politicians
    ADD COLUMN words tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.simple', parlex_words(name)), 'A')
        || setweight(to_tsvector('pg_catalog.simple', parlex_words(coalesce(current_riding, '') || ' ' || coalesce(current_party, ''))), 'B')
    ) STORED;
CREATE INDEX ix_bills_words_en ON bills USING gin (words_en);
CREATE INDEX ix_bills_words_fr ON bills USING gin (words_fr);
CREATE INDEX ix_votes_words_en ON votes USING gin (words_en);
CREATE INDEX ix_votes_words_fr ON votes USING gin (words_fr);
CREATE INDEX ix_politicians_words ON politicians USING gin (words);
"""  # noqa: E501


def upgrade() -> None:
    op.execute(FUNCTION)
    op.execute(COLUMNS)


def downgrade() -> None:
    op.execute("ALTER TABLE bills DROP COLUMN words_en, DROP COLUMN words_fr")
    op.execute("ALTER TABLE votes DROP COLUMN words_en, DROP COLUMN words_fr")
    op.execute("ALTER TABLE politicians DROP COLUMN words")
    op.execute("DROP FUNCTION parlex_words(text)")
