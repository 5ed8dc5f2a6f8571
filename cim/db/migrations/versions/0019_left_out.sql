-- Which records a person left out is asked with every file, and few are: the table has a row for each record that came
-- without a code, too.
CREATE INDEX decision_left_out ON cim.decision (type, name) WHERE how = 'left out';
