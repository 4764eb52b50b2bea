-- Up Migration in steps
-- Of 1,000 accounts each.
select take_over_recovery_codes($1) as next
