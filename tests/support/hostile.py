"""The hostile jobs and messages that are refused, each with its line: what the tests assert and docs/security.md shows.

python -m tests.support.hostile > docs/security.md
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Attack:
    """what: the attempt. who: refuses it, and says so where. line: what is printed, up to what differs by run."""

    what: str
    who: str
    line: str


SITE = "the site, as it builds the job; FLARE's log"
SERVER = "the server, on the console and in the record; that site's share of the round is lost"
BEFORE = "the server before the start; the job's job_deploy_detail, which `brainct` prints"
ADMIN = "the server's audit.log; the console of whoever tried"
LISTED = "component not authorized: Component"

ATTACKS = {
    "unlisted class": Attack(
        "a job names an executor of FLARE's that the site did not list",
        SITE,
        f"{LISTED} 'nvflare.app_common.np.np_trainer.NPTrainer' at config path 'executors.#1.executor' is not in "
        "allow_list",
    ),
    "byoc folder": Attack("a job brings code in app/custom", BEFORE, "server: BYOC not permitted"),
    "name shorthand": Attack(
        "a job names a class by `name:`, which FLARE would look up by itself",
        SITE,
        "component not authorized: Component config must use path or class_path; name is not allowed",
    ),
    "nested class path": Attack(
        "an argument of a listed class is itself a class to build",
        SITE,
        f"{LISTED} 'subprocess.Popen' at config path 'executors.#1.executor.args.opener' is not in allow_list",
    ),
    "subprocess class": Attack(
        "a job asks to build subprocess.Popen",
        SITE,
        f"{LISTED} 'subprocess.Popen' at config path 'executors.#1.executor' is not in allow_list",
    ),
    "network call at import": Attack(
        "a job names a module that calls home when it is imported: it is not imported",
        SITE,
        f"{LISTED} 'calls_home.Executor' at config path 'executors.#1.executor' is not in allow_list",
    ),
    "filter override": Attack(
        "a job brings result filters of its own, to undo the site's",
        SITE,
        f"{LISTED} 'brainct.flare.filters.Privacy' at config path 'task_result_filters.#1.filters.#1' is not in "
        "allow_list",
    ),
    "path outside, to a site": Attack(
        "a job gives the site's class a path on the site's disk",
        SITE,
        "Site.__init__() got an unexpected keyword argument 'site_file'",
    ),
    "path outside, to a run": Attack(
        "a job gives the server's class a path on the server's disk",
        "the server, before the roll call; the job ends with it",
        "the job: unknown key 'initial'; remove it or correct its spelling",
    ),
    "path outside, as a name": Attack(
        "a scheme's name is a path",
        "the server, before the roll call; the job ends with it",
        "the job: unknown scheme '../../etc/passwd'; known are ",
    ),
    "oversized tensor": Attack(
        "a site sends a tensor of a gigabyte where 32 bytes were asked for",
        SERVER,
        "b, round 3: tensor norm1.bias has shape (268435456,); wanted (8,)",
    ),
    "oversized extra": Attack(
        "a site sends megabytes in addition to its weights",
        SERVER,
        "b, round 3: 3,000,026 bytes came in addition to the weights; wanted at most 1,052,088",
    ),
    "wrong shape": Attack(
        "a tensor of as many values in another shape",
        SERVER,
        "b, round 3: tensor norm1.bias has shape (2, 4); wanted (8,)",
    ),
    "nan": Attack(
        "weights that are not numbers",
        SERVER,
        "b, round 3: tensor norm1.bias holds 8 NaN or infinite of 8 values; wanted finite numbers",
    ),
    "huge finite values": Attack(
        "weights that are finite but would dominate all others",
        SERVER,
        "b, round 3: tensor norm1.bias holds 1e+30; wanted nothing above 8e+04: did training diverge?",
    ),
    "negative examples": Attack(
        "a site weighs its report by a negative number",
        SERVER,
        "b, round 3: reports -8 examples; wanted a whole number of at least 1, at most 10^9",
    ),
    "replayed report": Attack(
        "a site, or somebody in between, sends a report twice",
        SERVER,
        "b replied twice in round 3; the first reply counts",
    ),
    "unknown site": Attack(
        "a reply in the name of a site that was not asked",
        SERVER,
        "hospital-x was not asked in round 3; its reply is not used",
    ),
    "pickle message": Attack(
        "a message whose bytes are a pickle that runs a command: nothing of it runs",
        "whoever reads it",
        "the message can't be read (SafetensorError); wanted a whole file written by brainct",
    ),
    "class in a message": Attack(
        "a message of FLARE's that names a class to load",
        "FLARE, where it is read",
        "is not allowed. Use fobs.register_data_classes(), fobs.register_enum_types(), or "
        "fobs.add_type_name_whitelist() to allow this type.",
    ),
    "pickle checkpoint": Attack(
        "a checkpoint to start from that is a pickle",
        "the command line",
        "checkpoint evil.safetensors can't be read (",
    ),
    "endless nesting": Attack(
        "a message nested a million levels deep",
        "whoever reads it",
        "the message can't be read (RecursionError); wanted a whole file written by brainct",
    ),
    "patients in counts": Attack(
        "a site's label set names patients",
        SERVER,
        "b, the roll call: 1 keys or values are not allowed by the schema (protocol.reply_schema); they are not "
        "repeated here because they may name a patient",
    ),
    "patients in scores": Attack(
        "a site's scores name patients",
        SERVER,
        "b, its scores: 1 keys or values are not allowed by the schema (protocol.reply_schema); they are not "
        "repeated here because they may name a patient",
    ),
    "patients in metrics": Attack(
        "a site's measurements name patients",
        SERVER,
        "b, round 3: a metric is not a number under a name such as loss; its name is not repeated here",
    ),
    "unsigned job": Attack(
        "a job that nobody signed", BEFORE, "server: unsigned job rejected — require_signed_jobs is enabled"
    ),
    "altered job": Attack(
        "a job that was changed after signing", BEFORE, "server: app app does not pass signature verification"
    ),
    "weaker privacy scope": Attack(
        "a job asks for another privacy scope than the site's",
        "each site, before the start; the job's job_deploy_detail",
        "hospital-a: NVFLARE_ERROR: privacy scope 'none' is not allowed",
    ),
    "scheme against the policy": Attack(
        "a job's scheme does not allow what the site's privacy policy demands",
        "the site at the roll call; the server's log and console, the site's log and audit.log",
        "hospital-a does not take part: by its privacy policy updates must be changed before they leave, which "
        "`fedsgd` does not allow: sites send gradients",
    ),
    "member submits": Attack(
        "somebody of role `member` submits a job",
        ADMIN,
        "user 'radiology@hospital-a.example' is not authorized for 'submit_job'",
    ),
    "expired certificate": Attack(
        "somebody connects with an expired certificate",
        "their own client; without its check the server closes the connection, unlogged, before a byte is read",
        "validation failed: cert is not valid at validation time",
    ),
    "job id elsewhere": Attack(
        "a server starts a job under an id that leaves its folder",
        "the site, before anything is written; FLARE's log",
        "the run is called '../../local/privacy'; wanted letters, digits, - and _, at most 64",
    ),
    "unknown kind of request": Attack(
        "a server sends a request of another kind, which the privacy policy might let pass",
        "the site; its log and audit.log",
        "site-1 does not take part: the server's request is 'predict'; wanted one of describe, train, evaluate; "
        "nothing leaves",
    ),
    "scores of training scans": Attack(
        "a server asks for scores of the scans that a site trains on",
        "the site; its audit.log",
        "the server asks for scores on fold 'train'; wanted valid or test",
    ),
    "key of the server's": Attack(
        "with secure aggregation a server hands out a key of its own as a hospital's",
        "each site; the run ends",
        "the server's list of keys has a key for site-2, but site-2 has not signed it",
    ),
    "two updates under one mask": Attack(
        "with secure aggregation a server asks for one round twice, to see the difference",
        "each site; its audit.log",
        "the server asks for round 1 after round 1 was masked; it sends nothing",
    ),
    "run that changes": Attack(
        "a server's request is of another plan, network or list of sites than the run that the site agreed to",
        "the site; its audit.log",
        "the server's request differs from what site-1 agreed to at the roll call of run a-run",
    ),
    "run that begins again": Attack(
        "a server begins a run under a name in which the site has replied, for new secrets under old rounds",
        "the site; its audit.log",
        "run a-run has begun at site-1 before; resume it, or begin a run of another name",
    ),
    "second request for a round": Attack(
        "a server repeats a round with another model",
        "the site; its audit.log",
        "site-1 stored client state after round 0 of this run and replies to each request once",
    ),
    "scores as an oracle": Attack(
        "a server asks for the scores of more models than the run's plan evaluates",
        "the site; its audit.log",
        "site-1 has sent its scores on fold test after round 3 for another model; it sends them once",
    ),
    "failure as an oracle": Attack(
        "a server has training fail in a way whose words would say something about the scans",
        "the site, the same words whatever failed; the reason is in its own log",
        "site-1 can't answer this; the reason is in the site's own log",
    ),
    "network of a job's making": Attack(
        "a job's network is crafted so that its gradient contains scans",
        "the site, by a policy with `limits.networks`; its audit.log",
        "site-1 does not take part: by its privacy policy the job's network is vgg-small with options",
    ),
    "labels without noise": Attack(
        "a job requests labels with less noise than the site's policy demands",
        "the site; its audit.log",
        "site-1 does not take part: by its privacy policy labels leave at epsilon 0.5 each at most, but the job has",
    ),
    "many runs a day": Attack(
        "a server begins many runs, to ask once in each",
        "the site, by a policy with `limits.runs_a_day`; its audit.log",
        "site-1 does not take part: by its privacy policy it begins 3 runs a day",
    ),
    "number of 400 digits": Attack(
        "a site reports a whole number that no float can hold",
        SERVER,
        "b, round 3: metrics/loss is a whole number of 1329 bits; wanted at most 1,000,000,000 in size",
    ),
    "lines of a log": Attack(
        "a site's error message contains lines that look like the server's own, and a megabyte more",
        SERVER,
        "no scans 2026-01-01 12:00:00 - brainct - INFO - round 9: all is well",
    ),
    "another lead resumes": Attack(
        "somebody who knows a run's id resumes it, to get its model",
        "the server, before the roll call; the job ends with it",
        "run a-job was started by someone else; they or the project administrator can resume it",
    ),
    "roll call of another shape": Attack(
        "a site replies to the roll call with a list, a number or a thousand nested lists",
        "the server, on the console and in the record; the run ends with it, as every site must be there at the start",
        "b, the roll call: ",
    ),
    "zip traversal": Attack(
        "a job's archive contains ../../evil",
        "FLARE at the server, before anything is unpacked",
        "unsafe '..' component in zip entry: '../../evil'",
    ),
}


def page() -> str:
    """docs/security.md."""
    rows = [f"| {name} | {a.what} | {a.who} | `{a.line}` |\n" for name, a in ATTACKS.items()]
    return HEAD + "".join(rows) + TAIL


HEAD = """# Hostile jobs and messages, and how each is refused

Generated by `python -m tests.support.hostile > docs/security.md`. Each message is what a test sees printed, up to the
part that differs between runs; most of these tests are in tests/run/test_hostile.py and tests/flare/test_hostile.py.

| name | attempt | who refuses it, and where the message is | message |
|---|---|---|---|
"""
TAIL = """
"""

if __name__ == "__main__":
    print(page(), end="")
