-- Whether a file of that name, or whose SHA-256 begins so, was ever taken in.
SELECT EXISTS (SELECT FROM cim.dataset d WHERE d.name = :dataset OR starts_with(d.sha256, :dataset));
