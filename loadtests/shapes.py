"""Tells locust how many users there are: the plan of `loadtests.stages`, once the packagers are ready."""

from locust import LoadTestShape

from loadtests.users import LoadUser


class Shape(LoadTestShape):
    """The shape that `--shape` names."""

    def tick(self) -> tuple[int, float] | None:
        """Return the number of users and how many come in a second; None at the end."""
        load = LoadUser.load
        elapsed_ms = load.elapsed_ms()
        if load.preparing > 0:
            return load.packagers, load.packagers
        found = load.plan.at(elapsed_ms)
        return None if found is None else (load.packagers + found[0].clients, found[0].spawn_per_s)
