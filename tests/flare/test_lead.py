"""What the lead reads of a job that FLARE could not run."""

from brainct.flare import lead

STATUS = {"status": "FINISHED:FAILED_TO_RUN"}
WORDS = {"job_deploy_detail": ["hospital-a: BYOC is not permitted"]}


class Metas:
    """A session whose metas come in FLARE's order: the status first, the sites' words after it."""

    def __init__(self, *metas):
        self.metas = list(metas)

    def get_job_meta(self, job):
        return self.metas.pop(0) if len(self.metas) > 1 else self.metas[0]


def test_a_job_that_could_not_run_has_ended_when_the_sites_words_stand(monkeypatch):
    monkeypatch.setattr(lead, "PERIOD", 0.0)
    session = Metas({"status": "SUBMITTED"}, STATUS, STATUS, STATUS | WORDS)
    assert lead.ended(session, "job") is None
    assert lead.ended(session, "job") == STATUS | WORDS


def test_a_job_that_ends_without_words_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(lead, "WORDS", 0.0)
    assert lead.ended(Metas(STATUS), "job") == STATUS
    assert lead.ended(Metas({"status": "FINISHED:COMPLETED"}), "job") == {"status": "FINISHED:COMPLETED"}
