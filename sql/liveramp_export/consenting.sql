-- Segments of users who agreed and have an e-mail; nobody else is known to the step that exports. An e-mail that several
-- users have, written in different ways, is one person to the partner.
select distinct lower(trim(u.email)) as email, s.segment
from segments as s
join backend.user as u on u.id = s.user_id
where u.consent_partner_export
  and trim(u.email) <> ''
