-- Which variant of an experiment a prediction was answered by; null for those of before.
ALTER TABLE predictions ADD COLUMN variant text;
