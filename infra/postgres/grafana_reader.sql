-- The user that Grafana reads the ledger as: the tables named below and no other, api_keys least of all.
--
-- A new database runs this before any table is there; later tables are granted as they are made. Run it again as a
-- superuser to change the password or the list:  GRAFANA_DB_PASSWORD=… psql -f infra/postgres/grafana_reader.sql …
\set ON_ERROR_STOP on
\set password ''
\getenv password GRAFANA_DB_PASSWORD
SELECT :'password' = '' AS is_missing \gset
\if :is_missing
DO $$ BEGIN RAISE EXCEPTION 'GRAFANA_DB_PASSWORD is not set: `quant init` makes one'; END $$;
\endif

BEGIN;

SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana_reader') AS is_new, current_database() AS database \gset
\if :is_new
CREATE ROLE grafana_reader;
\endif
ALTER ROLE grafana_reader
    LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 20 PASSWORD :'password';
ALTER ROLE grafana_reader SET default_transaction_read_only = on;
ALTER ROLE grafana_reader SET statement_timeout = '30s';
REVOKE TEMPORARY ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM grafana_reader;

CREATE SCHEMA IF NOT EXISTS grafana;

CREATE OR REPLACE FUNCTION grafana.grant_tables() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    readable CONSTANT text[] := ARRAY[
        'equity_curve', 'executed_orders', 'instruments', 'orders', 'portfolios', 'positions', 'refusals', 'runs',
        'scanner_results'
    ];
    name text;
BEGIN
    FOREACH name IN ARRAY readable LOOP
        IF to_regclass('public.' || name) IS NOT NULL AND to_regrole('grafana_reader') IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON public.%I TO grafana_reader', name);
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION grafana.on_table_made() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM grafana.grant_tables();
END $$;

DROP EVENT TRIGGER IF EXISTS grafana_tables;
CREATE EVENT TRIGGER grafana_tables ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
    EXECUTE FUNCTION grafana.on_table_made();
SELECT grafana.grant_tables();

COMMIT;
