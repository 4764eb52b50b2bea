-- Up Migration in steps
-- Of 1,000 families each.
select take_over_refresh_families($1) as next
