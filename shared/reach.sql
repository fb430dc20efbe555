-- Row-level security's half of `shared/access_rules.py`, for the schemas that keep cases.
-- Statements are divided by two empty lines.
--
-- `in_reach`: whether a case (its coarse facts) is within the transaction's reach. Nothing set is no
-- name and every place: the organisation decides first, and without one nothing is seen.
CREATE FUNCTION in_reach(facts jsonb) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT NOT coalesce(facts -> 'excluded'
      ?| nullif(current_setting('pashe.names', true), '')::text[], false)
    AND (coalesce(current_setting('pashe.places', true), '') = ''
      OR coalesce(facts ->> 'upazila', facts ->> 'district') IS NULL
      OR coalesce(facts ->> 'upazila', facts ->> 'district')
        = ANY (nullif(current_setting('pashe.places', true), '')::text[])
      OR coalesce(facts ->> 'worker'
        = ANY (nullif(current_setting('pashe.names', true), '')::text[]), false))
$$


-- The same of a case by its id. It runs as the owner, for who sees a referral or a task must not
-- see the case's facts for that; of a case that is not known nothing speaks against it.
CREATE FUNCTION case_in_reach(id uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = {schema}, pg_temp AS $$
  SELECT coalesce((SELECT in_reach(c.facts) FROM cases c WHERE c.case_id = id), true)
$$


CREATE POLICY cases_owner ON cases FOR SELECT TO {schema}_owner USING (true)


REVOKE ALL ON FUNCTION case_in_reach(uuid) FROM PUBLIC


GRANT EXECUTE ON FUNCTION case_in_reach(uuid) TO {schema}_web
