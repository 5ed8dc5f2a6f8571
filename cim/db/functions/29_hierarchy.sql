-- Every object lies in what it says: division ⊃ parcel ⊃ building ⊃ unit, by the properties in cim.hierarchy.
--
-- When a transaction ends (or at SET CONSTRAINTS ALL IMMEDIATE), what an object newly names as its parent is there, and
-- what was removed has nothing left in it. Within a transaction the order is free. That an object's own code begins with
-- the code of another parent is no fault: a code means what it meant on the day of its issue.
--
-- A load of a file, which the context's dataset tells, may also name what was never recorded yet: another file may bring
-- it, from another department. cim.orphans() lists what still waits.
--
-- A foreign key would do most of this row by row. Here each statement looks its rows up at once and notes only what does
-- not hold (yet); the parents it found are locked as a foreign key locks them, so that nobody removes them meanwhile.

-- Note those of some objects whose parent is not there (yet).
CREATE OR REPLACE FUNCTION cim.suspect(child text, parent text, codes text[], parents text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    by_hand CONSTANT boolean := coalesce(current_setting('cim.dataset', true), '') = '';
    written bigint;
BEGIN
    -- EXECUTE: each plan is for as many rows as there are.
    EXECUTE format($query$
        WITH named AS (
            SELECT n.code, n.parent FROM unnest($1, $2) AS n(code, parent)
        ), held AS MATERIALIZED (
            SELECT q.code FROM city.%1$I q WHERE q.code IN (SELECT DISTINCT parent FROM named) FOR KEY SHARE OF q
        )
        INSERT INTO cim.hierarchy_suspect (xid, type, code, by_hand)
        SELECT pg_current_xact_id(), %2$L, n.code, $3
        FROM named n LEFT JOIN held h ON h.code = n.parent
        WHERE h.code IS NULL AND ($3 OR EXISTS (SELECT FROM cim.revision r WHERE r.type = %1$L AND r.code = n.parent))
    $query$, parent, child) USING codes, parents, by_hand;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written > 0 THEN
        INSERT INTO cim.hierarchy_check (xid) VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    END IF;
END;
$$;

-- Arguments: property, parent.
CREATE OR REPLACE FUNCTION cim.hierarchy_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    codes text[];
    parents text[];
BEGIN
    EXECUTE format('SELECT array_agg(n.code), array_agg(n.%1$I) FROM changed n WHERE n.%1$I IS NOT NULL', TG_ARGV[0])
    INTO codes, parents;
    IF codes IS NOT NULL THEN
        PERFORM cim.suspect(TG_TABLE_NAME::text, TG_ARGV[1], codes, parents);
    END IF;
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION cim.hierarchy_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public SET enable_nestloop = off AS $$
DECLARE
    codes text[];
    parents text[];
BEGIN
    EXECUTE format('SELECT array_agg(n.code), array_agg(n.%1$I) FROM changed n JOIN before o USING (code)
                    WHERE n.%1$I IS NOT NULL AND n.%1$I IS DISTINCT FROM o.%1$I', TG_ARGV[0])
    INTO codes, parents;
    IF codes IS NOT NULL THEN
        PERFORM cim.suspect(TG_TABLE_NAME::text, TG_ARGV[1], codes, parents);
    END IF;
    RETURN NULL;
END;
$$;

-- Arguments: type and property of what lies in the removed objects.
CREATE OR REPLACE FUNCTION cim.hierarchy_removed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    written bigint;
BEGIN
    EXECUTE format('INSERT INTO cim.hierarchy_suspect (xid, type, code, by_hand)
                    SELECT pg_current_xact_id(), %1$L, c.code, true
                    FROM city.%1$I c JOIN changed n ON c.%2$I = n.code WHERE c.%2$I IS NOT NULL', TG_ARGV[0], TG_ARGV[1]);
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written > 0 THEN
        INSERT INTO cim.hierarchy_check (xid) VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;

-- The answer, when the transaction ends: what was noted is true by now, or nothing of it is.
CREATE OR REPLACE FUNCTION cim.check_hierarchy() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    rule record;
    problems text[];
BEGIN
    FOR rule IN SELECT h.* FROM cim.hierarchy h
                WHERE h.type IN (SELECT s.type FROM cim.hierarchy_suspect s WHERE s.xid = NEW.xid) ORDER BY h.type LOOP
        EXECUTE format($query$
            SELECT array_agg(p.problem) FROM (
                SELECT DISTINCT format('%%s %%s: %%s is %%s, ', %1$L, c.code, %2$L, c.%2$I) || CASE
                    WHEN last.op = 'supersede' THEN format('which was superseded by %%s: name that', last.superseded ->> 'new')
                    WHEN last.op = 'delete' THEN 'which was deleted: move what lies in it, or delete that too'
                    ELSE format('and there is no such %%s: write it first, or in the same transaction', %3$L) END AS problem
                FROM (SELECT s.code, bool_or(s.by_hand) AS by_hand FROM cim.hierarchy_suspect s
                      WHERE s.xid = $1 AND s.type = %1$L GROUP BY s.code) s
                JOIN city.%1$I c ON c.code = s.code
                LEFT JOIN city.%3$I q ON q.code = c.%2$I
                LEFT JOIN LATERAL (SELECT r.op, r.superseded FROM cim.revision r WHERE r.type = %3$L AND r.code = c.%2$I
                                   ORDER BY r.rev DESC LIMIT 1) last ON true
                WHERE c.%2$I IS NOT NULL AND q.code IS NULL AND (s.by_hand OR last.op IS NOT NULL)
            ) p
        $query$, rule.type, rule.property, rule.parent) INTO problems USING NEW.xid;
        IF problems IS NOT NULL THEN
            RAISE EXCEPTION '%', array_to_string(problems[1:3], '; ')
                || CASE WHEN cardinality(problems) > 3 THEN format('; and %s more', cardinality(problems) - 3) ELSE '' END
                USING ERRCODE = 'foreign_key_violation';
        END IF;
    END LOOP;
    DELETE FROM cim.hierarchy_suspect s WHERE s.xid = NEW.xid;
    DELETE FROM cim.hierarchy_check k WHERE k.xid = NEW.xid;
    RETURN NULL;
END;
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'check_hierarchy' AND tgrelid = 'cim.hierarchy_check'::regclass) THEN
        CREATE CONSTRAINT TRIGGER check_hierarchy AFTER INSERT ON cim.hierarchy_check
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cim.check_hierarchy();
        ALTER TABLE cim.hierarchy_check ENABLE ALWAYS TRIGGER check_hierarchy;
    END IF;
END;
$$;

-- Give a type the triggers that hold it to its parents, and its children to it.
CREATE OR REPLACE FUNCTION cim.attach_hierarchy(type_name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    rule record;
BEGIN
    FOR rule IN SELECT * FROM cim.hierarchy WHERE type = type_name LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER hierarchy_insert AFTER INSERT ON city.%I REFERENCING NEW TABLE AS changed
                        FOR EACH STATEMENT EXECUTE FUNCTION cim.hierarchy_inserted(%L, %L)',
                       rule.type, rule.property, rule.parent);
        EXECUTE format('CREATE OR REPLACE TRIGGER hierarchy_update AFTER UPDATE ON city.%I
                        REFERENCING OLD TABLE AS before NEW TABLE AS changed
                        FOR EACH STATEMENT EXECUTE FUNCTION cim.hierarchy_updated(%L, %L)',
                       rule.type, rule.property, rule.parent);
        EXECUTE format('ALTER TABLE city.%I ENABLE ALWAYS TRIGGER hierarchy_insert, ENABLE ALWAYS TRIGGER hierarchy_update',
                       rule.type);
    END LOOP;
    FOR rule IN SELECT * FROM cim.hierarchy WHERE parent = type_name LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER DELETE ON city.%I REFERENCING OLD TABLE AS changed
                        FOR EACH STATEMENT EXECUTE FUNCTION cim.hierarchy_removed(%L, %L)',
                       'hierarchy_delete_' || rule.type, type_name, rule.type, rule.property);
        EXECUTE format('ALTER TABLE city.%I ENABLE ALWAYS TRIGGER %I', type_name, 'hierarchy_delete_' || rule.type);
    END LOOP;
END;
$$;

-- What names a parent that was never there: loads may leave it so, for a load still to come.
CREATE OR REPLACE FUNCTION cim.orphans() RETURNS TABLE (type text, code text, property text, parent text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    rule record;
BEGIN
    FOR rule IN SELECT * FROM cim.hierarchy h ORDER BY h.type LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %1$L, c.code::text, %2$L, c.%2$I::text FROM city.%1$I c
             WHERE c.%2$I IS NOT NULL AND NOT EXISTS (SELECT FROM city.%3$I q WHERE q.code = c.%2$I) ORDER BY c.code',
            rule.type, rule.property, rule.parent);
    END LOOP;
END;
$$;

-- How many objects of a type name a parent that was never there, by property. The planner takes a table just filled for
-- one in which all objects name one, and reads all of it: the index of those that do is as good then, and else far better.
CREATE OR REPLACE FUNCTION cim.count_orphans(of_type text)
RETURNS TABLE (property text, parent text, number bigint)
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
    rule record;
BEGIN
    FOR rule IN SELECT * FROM cim.hierarchy h WHERE h.type = of_type ORDER BY h.property LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %2$L, %3$L, count(*) FROM city.%1$I c
             WHERE c.%2$I IS NOT NULL AND NOT EXISTS (SELECT FROM city.%3$I q WHERE q.code = c.%2$I)',
            rule.type, rule.property, rule.parent);
    END LOOP;
END;
$$;
