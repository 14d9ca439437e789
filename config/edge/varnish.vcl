# Varnish (7.1 or newer) as a cache in front of Live Origin. Every line that is to be edited is marked with EDIT.
# README.md beside this file tells why things are as they are.
vcl 4.1;

import directors;
import std;

# A frozen origin still accepts connections, and is silent like one that holds a request: only a question that is
# never held tells them apart. Two of the last three must be answered.
probe alive {
    .url = "/healthz";
    .interval = 500ms;
    .timeout = 400ms;
    .window = 3;
    .threshold = 2;
    .initial = 3;
}

# A request is held for limits.hold (8 s) at most; so long an origin may say nothing.
backend primary {
    .host = "127.0.0.1";            # EDIT
    .port = "8080";                 # EDIT: primary
    .connect_timeout = 400ms;
    .first_byte_timeout = 10s;
    .between_bytes_timeout = 5s;
    .probe = alive;
}

backend backup {
    .host = "127.0.0.1";            # EDIT
    .port = "18080";                # EDIT: backup
    .connect_timeout = 400ms;
    .first_byte_timeout = 10s;
    .between_bytes_timeout = 5s;
    .probe = alive;
}

# Who may send PURGE and BAN.
acl operators {
    "127.0.0.1";                    # EDIT
    "::1";
}

sub vcl_init {
    new origins = directors.fallback();
    origins.add_backend(primary);
    origins.add_backend(backup);
}

sub vcl_recv {
    set req.backend_hint = origins.backend();
    # Answers depend on the path alone.
    set req.url = regsub(req.url, "\?.*$", "");
    unset req.http.Cookie;
    unset req.http.Authorization;

    if (req.method == "PURGE" || req.method == "BAN") {
        if (client.ip !~ operators) {
            return (synth(403));
        }
        if (req.method == "PURGE") {
            return (purge);
        }
        call ban_by_tag;
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (synth(405));
    }
    # The origin allows stale answers on errors only: while it can be asked, it is.
    if (std.healthy(req.backend_hint)) {
        set req.grace = 0s;
    }
    return (hash);
}

# BAN with `Surrogate-Key: derby/v720` forgets all that carries this tag. The condition looks at the object alone, so
# that the ban lurker can work it off, and no list of bans grows.
sub ban_by_tag {
    if (req.http.Surrogate-Key !~ "^[A-Za-z0-9._~/-]+$") {
        return (synth(400, "One tag, please"));
    }
    set req.http.X-Tag = regsuball(req.http.Surrogate-Key, "[.]", "[.]");
    if (std.ban("obj.http.Surrogate-Key ~ (^|\s)" + req.http.X-Tag + "(\s|$)")) {
        return (synth(200, "Banned"));
    }
    return (synth(400, std.ban_error()));
}

# The path alone. Its first part may carry a version, /derby@2/..., so that a new one is a new key for everything.
sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_fetch {
    unset bereq.body;
    if (bereq.retries > 0) {
        set bereq.backend = backup;
    }
    return (fetch);
}

sub vcl_backend_response {
    # The backup is asked once, when the primary is in trouble or lacks what should be there. What is not due yet, the
    # backup does not have either. `Live-Origin-Due` is in ms, which are more digits than Varnish reads as one number.
    if (bereq.retries == 0 && beresp.backend == primary && std.healthy(backup)) {
        if (beresp.status >= 500 || ((beresp.status == 404 || beresp.status == 410) &&
            std.time(real = std.real(regsub(beresp.http.Live-Origin-Due, "([0-9]{3})$", ".\1"), 0.0)) <= now)) {
            # Should there be no backup to be reached, the primary's word stands.
            set bereq.http.X-Primary-Status = beresp.status;
            set bereq.http.X-Primary-TTL = beresp.http.Live-Origin-TTL;
            set bereq.http.X-Primary-Cache-Control = beresp.http.Cache-Control;
            set bereq.http.X-Primary-Retry-After = beresp.http.Retry-After;
            return (retry);
        }
    }

    # Where a stale answer is at hand, a failure does not take its place.
    if (bereq.is_bgfetch && beresp.status >= 500) {
        return (abandon);
    }

    # The life time in ms. Not through another cache: that tells only in whole seconds how long it had it.
    if (!beresp.http.Age) {
        set beresp.ttl = std.duration(beresp.http.Live-Origin-TTL, beresp.ttl);
    }
    # What may not be kept is not collapsed, and for two minutes no request for it would be (hit-for-miss).
    if (beresp.ttl <= 0s) {
        set beresp.ttl = 1s;
    }
    # A refusal must never be served stale; Varnish's default is ten seconds.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (beresp.status < 400 && beresp.http.Cache-Control ~ "stale-if-error=[0-9]+") {
        set beresp.grace = std.duration(
            regsub(beresp.http.Cache-Control, "^.*stale-if-error=([0-9]+).*$", "\1s"), 0s);
    }
    unset beresp.http.Set-Cookie;
    unset beresp.http.Vary;
    return (deliver);
}

sub vcl_backend_error {
    if (bereq.retries == 0 && std.healthy(backup)) {
        return (retry);
    }
    if (bereq.is_bgfetch) {
        return (abandon);
    }
    # Kept, so that not everybody asks: a second if no origin could be reached.
    set beresp.status = std.integer(bereq.http.X-Primary-Status, 503);
    set beresp.ttl = std.duration(bereq.http.X-Primary-TTL, 1s);
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    set beresp.http.Cache-Control = "public, max-age=1, stale-while-revalidate=0";
    if (bereq.http.X-Primary-Cache-Control) {
        set beresp.http.Cache-Control = bereq.http.X-Primary-Cache-Control;
    }
    if (bereq.http.X-Primary-Retry-After) {
        set beresp.http.Retry-After = bereq.http.X-Primary-Retry-After;
    }
    set beresp.http.Content-Type = "application/problem+json";
    set beresp.body = {"{"type":"about:blank","status":"} + beresp.status + "}";
    return (deliver);
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    return (deliver);
}

sub vcl_synth {
    set resp.http.Content-Type = "application/problem+json";
    set resp.http.Cache-Control = "public, max-age=1";
    if (resp.status == 405) {
        set resp.http.Allow = "GET, HEAD";
    }
    set resp.body = {"{"type":"about:blank","status":"} + resp.status + "}";
    return (deliver);
}
