"""From the text of a bearer token to the principal: unverified, verified, admitted."""
