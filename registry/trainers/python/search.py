"""Looks for better parameters with Optuna. What it has tried is kept in a file: stopped and started again, it resumes."""

import hashlib
import json

import optuna

VALIDATION_SHARE = 0.2


def search(spec, trainer, rows, params, out, training_set_sha256):
    """The best parameters found. The newest fifth of `rows` judges; trials are written to trials.json."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    metric, direction = trainer.objective(spec)
    # Other data or another model is another search.
    of = json.dumps([training_set_sha256, spec["trainer"], spec["seed"], params, spec.get("columns")], sort_keys=True)
    name = hashlib.sha256(of.encode()).hexdigest()[:16]
    study = optuna.create_study(
        study_name=name, storage=f"sqlite:///{out}/search.db", direction=direction, load_if_exists=True
    )
    done = finished(study)
    # The sampler's own numbers begin anew with each start.
    study.sampler = optuna.samplers.TPESampler(seed=spec["seed"] + len(done))
    if len(done) > 0:
        print(f"the search resumes after {len(done)} trials", flush=True)
    older, newer = rows.split(VALIDATION_SHARE)

    def attempt(trial):
        fitted = trainer.fit(spec, older, {**params, **trainer.suggest(trial)})
        return trainer.score(spec, fitted, newer)

    def told(study, trial):
        if trial.value is not None:
            print(f"trial {trial.number + 1}: {metric} {trial.value:.6f}; best {study.best_value:.6f}", flush=True)
        write_trials(study, metric, out)

    if len(done) < spec["trials"]:
        study.optimize(attempt, n_trials=spec["trials"] - len(done), callbacks=[told])
    write_trials(study, metric, out)
    print(f"best of {len(finished(study))} trials: {metric} {study.best_value:.6f} with {study.best_params}", flush=True)
    return {**params, **trainer.suggest(optuna.trial.FixedTrial(study.best_params))}


def finished(study):
    return [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]


def write_trials(study, metric, out):
    trials = [
        {
            "number": trial.number + 1,
            "params": {name: str(value) for name, value in trial.params.items()},
            "metrics": {metric: trial.value},
            "startedMs": int(trial.datetime_start.timestamp() * 1000),
            "finishedMs": int(trial.datetime_complete.timestamp() * 1000),
        }
        for trial in finished(study)
    ]
    (out / "trials.json").write_text(json.dumps(trials, indent=2) + "\n")
