"""Advertisements: how likely a click is, which ads to show for it, and what another way to choose would have brought.

impressions    ads as they were shown, from a log
history        what a person was shown and clicked before a moment
columns        impressions as sparse columns
regression     weights of the columns, and how sure they are
calibrating    from logits to probabilities
click_model    these together
baselines      the click rate of all, and the ad's own
figures        log-loss, normalised entropy, AUC, calibration, with intervals
caps           how often one person is shown the same
exploring      a share of exploration, with its chances
slates         bid x probability, second price
policies       ways to choose, as chances over ads
value          what a policy would have brought
simulated      a log whose truth is known
artifact       a click model on disk
described      an experiment in TOML
running        from a log to a judged model
"""

from ensue.ads.artifact import Saved, load, save
from ensue.ads.asking import AdEvent, AdQuestion, Offer, answer, question_of
from ensue.ads.baselines import BaseRate, OwnRate
from ensue.ads.caps import Cap
from ensue.ads.click_model import ClickModel, Clicks, Estimate
from ensue.ads.described import AdExperiment, Shown, ad_experiment_of, read_ad_experiment
from ensue.ads.exploring import Exploration
from ensue.ads.figures import Figures, Judged, judged
from ensue.ads.history import Past
from ensue.ads.impressions import Impressions, impressions_of
from ensue.ads.policies import ByValue, Policy, Shares, Uniform
from ensue.ads.running import AdRun, Halves, judge, run_ads, value_of
from ensue.ads.simulated import AdSource
from ensue.ads.slates import AdSlate, Placed, slate
from ensue.ads.value import Support, Value, Valued, on_policy, valued

__all__ = [
    "AdEvent",
    "AdExperiment",
    "AdQuestion",
    "AdRun",
    "AdSlate",
    "AdSource",
    "BaseRate",
    "ByValue",
    "Cap",
    "ClickModel",
    "Clicks",
    "Estimate",
    "Exploration",
    "Figures",
    "Halves",
    "Impressions",
    "Judged",
    "Offer",
    "OwnRate",
    "Past",
    "Placed",
    "Policy",
    "Saved",
    "Shares",
    "Shown",
    "Support",
    "Uniform",
    "Value",
    "Valued",
    "ad_experiment_of",
    "answer",
    "impressions_of",
    "judge",
    "judged",
    "load",
    "on_policy",
    "question_of",
    "read_ad_experiment",
    "run_ads",
    "save",
    "slate",
    "value_of",
    "valued",
]
