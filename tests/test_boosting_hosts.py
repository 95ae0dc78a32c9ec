# SPDX-License-Identifier: BSD-3-Clause
"""The objectives in their boosters: models like those of the boosters' own objectives, in every interface."""

from __future__ import annotations

import importlib.util

import boosters
import joblib
import numpy as np
import pytest

from xent_native.boosting import catboost_objective, lightgbm_objective, xgboost_objective

datasets = pytest.importorskip("sklearn.datasets")
sklearn_base = pytest.importorskip("sklearn.base")
ROUNDS = 10
CLOSE = 1e-5


def installed(name):
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


def apart(one, other):
    return np.abs(np.asarray(one, float) - np.asarray(other, float)).max()


def through_a_file(model, folder):
    joblib.dump(model, folder / "model")
    return joblib.load(folder / "model")


def check_fall(found, y, options):
    """Losses, round by round: never up, and more than half of the way from equal scores to the least that can be."""
    assert np.diff(found).max() < 0
    start = boosters.losses(y, np.zeros((len(y), 3)), options).mean()
    assert found[-1] < (start + boosters.least_loss(options)) / 2


@pytest.fixture(params=[False, True], ids=["unweighted", "weighted"])
def weighted(request):
    return request.param


@pytest.fixture
def iris(weighted):
    X, y, weight = boosters.uneven_iris()
    return X, y, weight if weighted else None


@pytest.fixture
def cancer(weighted):
    X, y, weight = boosters.cancer()
    return X, y, weight if weighted else None


@installed("xgboost")
class TestXGBoost:
    def estimator(self, **params):
        import xgboost

        return xgboost.XGBClassifier(n_estimators=ROUNDS, max_depth=3, n_jobs=1, **params)

    def train(self, data, params, **options):
        import xgboost

        X, y, weight = data
        matrix = xgboost.DMatrix(X, y, weight=weight)
        params = {"max_depth": 3, "nthread": 1, **params}
        return xgboost.train(params, matrix, ROUNDS, **options).predict(matrix)

    def test_estimator(self, iris):
        X, y, weight = iris
        objective = xgboost_objective()
        own = self.estimator().fit(X, y, sample_weight=weight)
        ours = self.estimator(objective=objective, base_score=objective.base_score(y, weight))
        ours.fit(X, y, sample_weight=weight)
        assert apart(own.predict_proba(X), ours.predict_proba(X)) < CLOSE
        assert (own.predict(X) == ours.predict(X)).all()

    def test_train(self, iris):
        _, y, weight = iris
        params, objective = {"objective": "multi:softprob", "num_class": 3}, xgboost_objective()
        base_score = objective.base_score(y, weight)
        ours = self.train(iris, {**params, "base_score": base_score}, obj=objective)
        assert apart(self.train(iris, params), ours) < CLOSE

    def test_two_classes(self, cancer):
        X, y, weight = cancer
        objective = xgboost_objective()
        base_score = objective.base_score(y, weight)
        own = self.estimator().fit(X, y, sample_weight=weight)
        ours = self.estimator(objective=objective, base_score=base_score).fit(X, y, sample_weight=weight)
        assert apart(own.predict_proba(X), ours.predict_proba(X)) < CLOSE
        params = {"objective": "binary:logistic"}
        ours = self.train(cancer, {**params, "base_score": base_score}, obj=objective)
        assert apart(self.train(cancer, params), ours) < CLOSE
        params = {"objective": "multi:softprob", "num_class": 2}
        base_score = objective.base_score(y, weight, binary=False)
        ours = self.train(cancer, {**params, "base_score": base_score}, obj=objective)
        assert apart(self.train(cancer, params), ours) < CLOSE

    def test_a_class_that_nobody_has(self, iris):
        _, y, weight = iris
        params, objective = {"objective": "multi:softprob", "num_class": 4}, xgboost_objective()
        base_score = objective.base_score(y, weight, num_class=4)
        ours = self.train(iris, {**params, "base_score": base_score}, obj=objective)
        assert apart(self.train(iris, params), ours) < CLOSE

    def test_another_form_of_the_hessian_is_another_model(self, iris):
        _, y, weight = iris
        objective = xgboost_objective(hessian="diagonal")
        params = {"objective": "multi:softprob", "num_class": 3}
        ours = self.train(iris, {**params, "base_score": objective.base_score(y, weight)}, obj=objective)
        assert apart(self.train(iris, params), ours) > 1e-3

    def test_metrics(self, iris):
        import xgboost

        X, y, weight = iris
        matrix, objective, found = xgboost.DMatrix(X, y, weight=weight), xgboost_objective(), {}
        xgboost.train(
            {"objective": "multi:softprob", "num_class": 3}, matrix, ROUNDS, obj=objective, evals=[(matrix, "train")],
            custom_metric=objective.cross_entropy, evals_result=found, verbose_eval=False,
        )  # fmt: skip
        np.testing.assert_allclose(found["train"]["cross_entropy"], found["train"]["mlogloss"], rtol=1e-5)
        ours = self.estimator(objective=objective, eval_metric=objective.cross_entropy)
        ours.fit(X, y, sample_weight=weight, eval_set=[(X, y)], verbose=False)
        assert np.diff(ours.evals_result()["validation_0"]["cross_entropy"]).max() < 0

    def test_clones_and_files(self, iris, tmp_path):
        X, y, _ = iris
        model = self.estimator(objective=xgboost_objective(gamma=1.0))
        twin = sklearn_base.clone(model)
        assert twin.objective.get_config() == model.objective.get_config()
        assert set(twin.get_xgb_params()) == set(self.estimator().get_xgb_params()) - {"objective"}
        again = through_a_file(twin.fit(X, y), tmp_path)
        assert apart(again.predict_proba(X), model.fit(X, y).predict_proba(X)) == 0

    @pytest.mark.parametrize("options", boosters.OPTIONS[1:], ids=str)
    def test_options_lower_their_own_loss(self, options):
        X, y, _ = boosters.uneven_iris()
        objective = xgboost_objective(**options)
        model = self.estimator(objective=objective, eval_metric=objective.cross_entropy)
        model.fit(X, y, eval_set=[(X, y)], verbose=False)
        check_fall(model.evals_result()["validation_0"]["cross_entropy"], y, options)

    def test_bad_labels(self):
        import xgboost

        matrix = xgboost.DMatrix(np.zeros((3, 1)), [0, 1, 2.5])
        params = {"objective": "multi:softprob", "num_class": 3, "base_score": 0.5}
        with pytest.raises(ValueError, match=r"whole numbers; got 2\.5 at index 2"):
            xgboost.train(params, matrix, 1, obj=xgboost_objective())


@installed("lightgbm")
class TestLightGBM:
    def estimator(self, **params):
        import lightgbm

        return lightgbm.LGBMClassifier(
            n_estimators=ROUNDS, min_child_samples=5, verbosity=-1, n_jobs=1, **params
        )

    def train(self, data, params, init_score=None, **options):
        import lightgbm

        X, y, weight = data
        start = None if init_score is None else np.tile(init_score, (len(y), 1)).squeeze()
        params = {"verbosity": -1, "min_data_in_leaf": 5, "num_threads": 1, **params}
        found = lightgbm.Dataset(X, y, weight=weight, init_score=start)
        return lightgbm.train(params, found, ROUNDS, **options)

    def test_estimator(self, iris):
        X, y, weight = iris
        objective = lightgbm_objective()
        init = objective.init_score(y, weight)
        own = self.estimator().fit(X, y, sample_weight=weight)
        ours = self.estimator(objective=objective)
        ours.fit(X, y, sample_weight=weight, init_score=np.tile(init, (len(y), 1)))
        objective.fold_init_score(ours, init)
        assert apart(own.predict(X, raw_score=True), ours.predict(X, raw_score=True)) < CLOSE
        assert apart(own.predict_proba(X), objective.proba(ours.predict(X, raw_score=True))) < CLOSE

    def test_without_an_average(self, iris):
        X, y, weight = iris
        own = self.estimator(boost_from_average=False).fit(X, y, sample_weight=weight)
        ours = self.estimator(objective=lightgbm_objective()).fit(X, y, sample_weight=weight)
        assert apart(own.predict(X, raw_score=True), ours.predict(X, raw_score=True)) < CLOSE

    def test_train(self, iris):
        X, y, weight = iris
        objective, params = lightgbm_objective(), {"num_class": 3}
        init = objective.init_score(y, weight)
        ours = self.train(iris, {**params, "objective": objective}, init)
        objective.fold_init_score(ours, init)
        own = self.train(iris, {**params, "objective": "multiclass"})
        assert apart(own.predict(X), objective.proba(ours.predict(X))) < CLOSE
        first = {"num_iteration": 2, "raw_score": True}
        assert apart(own.predict(X, **first), ours.predict(X, **first)) < CLOSE

    def test_a_class_that_nobody_has(self, iris):
        X, y, weight = iris
        objective = lightgbm_objective()
        init = objective.init_score(y, weight, num_class=4)
        ours = self.train(iris, {"num_class": 4, "objective": objective}, init)
        objective.fold_init_score(ours, init)
        own = self.train(iris, {"num_class": 4, "objective": "multiclass"})
        assert apart(own.predict(X), objective.proba(ours.predict(X))) < CLOSE

    def test_two_classes(self, cancer):
        X, y, weight = cancer
        objective = lightgbm_objective()
        init = objective.init_score(y, weight)
        own = self.estimator().fit(X, y, sample_weight=weight)
        ours = self.estimator(objective=objective)
        ours.fit(X, y, sample_weight=weight, init_score=np.full(len(y), init))
        objective.fold_init_score(ours, init)
        assert apart(own.predict_proba(X), objective.proba(ours.predict(X, raw_score=True))) < CLOSE
        ours = self.train(cancer, {"objective": objective}, init)
        objective.fold_init_score(ours, init)
        own = self.train(cancer, {"objective": "binary"})
        assert apart(own.predict(X), objective.proba(ours.predict(X))[:, 1]) < CLOSE

    def test_nothing_is_copied(self, iris):
        """What LightGBM makes of the gradient before it hands it to C is the memory of the gradient."""
        _, y, _ = iris
        grad, hess = lightgbm_objective()(y.astype(np.float32), np.zeros((len(y), 3), order="F"))
        for found in (grad, hess):
            flat = found.ravel(order="F")
            assert np.shares_memory(flat, found)
            assert flat.dtype == np.float32

    @pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
    def test_metrics(self, iris):
        import lightgbm

        objective, found = lightgbm_objective(), {}
        X, y, weight = iris
        data = lightgbm.Dataset(X, y, weight=weight)
        params = {"num_class": 3, "objective": objective, "metric": "None", "verbosity": -1, "num_threads": 1}
        booster = lightgbm.train(
            params, data, ROUNDS, valid_sets=[data], valid_names=["train"], feval=objective.cross_entropy,
            callbacks=[lightgbm.record_evaluation(found)],
        )  # fmt: skip
        losses = found["train"]["cross_entropy"]
        assert np.diff(losses).max() < 0
        expected = np.average(boosters.losses(y, booster.predict(X), {}), weights=weight)
        assert np.isclose(losses[-1], expected, rtol=1e-6)
        ours = self.estimator(objective=objective)
        ours.fit(X, y, sample_weight=weight, eval_set=[(X, y)], eval_metric=objective.cross_entropy)
        assert np.diff(next(iter(ours.evals_result_.values()))["cross_entropy"]).max() < 0

    def test_clones_and_files(self, iris, tmp_path):
        X, y, _ = iris
        model = self.estimator(objective=lightgbm_objective(gamma=1.0))
        twin = sklearn_base.clone(model)
        assert twin.get_params()["objective"].get_config() == model.get_params()["objective"].get_config()
        again = through_a_file(twin.fit(X, y), tmp_path)
        assert apart(again.predict(X, raw_score=True), model.fit(X, y).predict(X, raw_score=True)) == 0

    @pytest.mark.parametrize("options", boosters.OPTIONS[1:], ids=str)
    def test_options_lower_their_own_loss(self, options):
        X, y, _ = boosters.uneven_iris()
        objective, found = lightgbm_objective(**options), []
        model = self.estimator(objective=objective).fit(X, y)
        for rounds in range(1, ROUNDS + 1):
            raw = model.predict(X, raw_score=True, num_iteration=rounds)
            found.append(objective.cross_entropy(y, raw)[1])
        check_fall(found, y, options)

    def test_fold_init_score_wants_one_for_each_tree(self, iris):
        booster = self.train(iris, {"num_class": 3, "objective": lightgbm_objective()})
        with pytest.raises(
            ValueError, match=r"init_score must have shape \(3,\), one per tree of a round; got \(1,\)"
        ):
            lightgbm_objective().fold_init_score(booster, 0.5)

    def test_fold_init_score_leaves_a_model_as_it_was_if_scores_are_bad(self, iris):
        booster = self.train(iris, {"num_class": 3, "objective": lightgbm_objective()})
        before = booster.model_to_string()
        with pytest.raises(ValueError, match="init_score must be finite; got nan at index 1"):
            lightgbm_objective().fold_init_score(booster, [0.0, np.nan, 0.0])
        with pytest.raises(TypeError, match="init_score must"):
            lightgbm_objective().fold_init_score(booster, ["a", "b", "c"])
        assert booster.model_to_string() == before


OF_CATBOOST = {"iterations": ROUNDS, "depth": 3, "learning_rate": 0.3, "random_seed": 1, "thread_count": 1,
               "allow_writing_files": False}  # fmt: skip


@installed("catboost")
class TestCatBoost:
    def estimator(self, **params):
        import catboost

        return catboost.CatBoostClassifier(**OF_CATBOOST, verbose=False, **params)

    def test_estimator(self, iris):
        X, y, weight = iris
        own = self.estimator().fit(X, y, sample_weight=weight)
        ours = self.estimator(**catboost_objective().params(3)).fit(X, y, sample_weight=weight)
        assert apart(own.predict_proba(X), ours.predict_proba(X)) < CLOSE
        assert (own.predict(X) == ours.predict(X)).all()

    def test_train(self, iris):
        import catboost

        X, y, weight = iris
        params = {**OF_CATBOOST, "logging_level": "Silent"}
        own = catboost.train(catboost.Pool(X, y, weight=weight), {**params, "loss_function": "MultiClass"})
        ours = catboost.train(
            catboost.Pool(X, y, weight=weight), {**params, **catboost_objective().params(3)}
        )
        raw = {"prediction_type": "RawFormulaVal"}
        assert apart(own.predict(X, **raw), ours.predict(X, **raw)) < CLOSE

    @pytest.mark.parametrize("features", [1, 4, 19, 20, 30])
    def test_two_classes(self, cancer, features):
        """CatBoost chooses by the number of features: below 20 otherwise than from 20 on."""
        X, y, weight = cancer
        X = X[:, :features]
        own = self.estimator().fit(X, y, sample_weight=weight)
        params = catboost_objective().params(2, n_features=features)
        ours = self.estimator(**params).fit(X, y, sample_weight=weight)
        for name in ("leaf_estimation_iterations", "leaf_estimation_method", "bootstrap_type", "subsample"):
            assert own.get_all_params().get(name) == ours.get_all_params().get(name)
        assert apart(own.predict_proba(X), ours.predict_proba(X)) < CLOSE

    @pytest.mark.parametrize("features", [4, 30])
    def test_many_classes_of_few_and_many_features(self, features, rng):
        X, y = rng.normal(size=(150, features)), rng.integers(0, 4, 150)
        own = self.estimator().fit(X, y)
        ours = self.estimator(**catboost_objective().params(4)).fit(X, y)
        assert apart(own.predict_proba(X), ours.predict_proba(X)) < CLOSE

    def test_every_column_counts_as_a_feature(self, rng):
        X, y = rng.normal(size=(150, 20)), rng.integers(0, 2, 150)
        X[:, 0] = 1
        columns = {"ignored_features": list(range(1, 10))}
        own = self.estimator(**columns).fit(X, y)
        ours = self.estimator(**columns, **catboost_objective().params(2, n_features=20)).fit(X, y)
        assert apart(own.predict_proba(X), ours.predict_proba(X)) < CLOSE

    def test_metrics(self, cancer):
        X, y, weight = cancer
        objective = catboost_objective()
        params = {**objective.params(2, n_features=X.shape[1]), "eval_metric": objective}
        ours = self.estimator(**params, custom_metric="Logloss").fit(
            X, y, sample_weight=weight, eval_set=(X, y)
        )
        found = ours.get_evals_result()["validation"]
        # With weights also one that leaves them out.
        own = [name for name in found if name.startswith("Logloss")]
        others = [name for name in found if name not in own]
        assert own
        assert others
        np.testing.assert_allclose(found[others[0]], found[own[0]], rtol=1e-9)

    def test_clones_and_files(self, iris, tmp_path):
        X, y, _ = iris
        model = self.estimator(**catboost_objective(gamma=1.0).params(3))
        twin = sklearn_base.clone(model)
        assert twin.get_params()["loss_function"].get_config() == catboost_objective(gamma=1.0).get_config()
        again = through_a_file(twin.fit(X, y), tmp_path)
        assert apart(again.predict_proba(X), model.fit(X, y).predict_proba(X)) == 0

    @pytest.mark.parametrize("options", boosters.OPTIONS[1:], ids=str)
    def test_options_lower_their_own_loss(self, options):
        X, y, _ = boosters.uneven_iris()
        objective, found = catboost_objective(**options), []
        model = self.estimator(**{**objective.params(3), "bootstrap_type": "No"}).fit(X, y)
        for rounds in range(1, ROUNDS + 1):
            raw = model.predict(X, prediction_type="RawFormulaVal", ntree_end=rounds)
            found.append(objective.cross_entropy_of(y, raw))
        check_fall(found, y, options)

    def test_bad_labels_are_told_by_catboost(self):
        import catboost

        class Wrong(type(catboost_objective())):
            def calc_ders_multi(self, approx, target, weight):
                return super().calc_ders_multi(approx, target + 0.5, weight)

        X, y, _ = boosters.uneven_iris()
        with pytest.raises(catboost.CatBoostError, match=r"whole numbers; got 0\.5"):
            self.estimator(**Wrong().params(3)).fit(X, y)
