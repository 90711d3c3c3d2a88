-- A short history of what the console draws, so that it needs no other system (docs/adr/0042-console.md). One row an interval, whichever process writes it.
CREATE TABLE console_figures (
  at timestamptz PRIMARY KEY,
  figures jsonb NOT NULL
);
