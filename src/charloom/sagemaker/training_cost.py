"""What a training job can cost, in figures and in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from charloom.sagemaker.instances import unlisted
from charloom.sagemaker.prices import price_note, price_per_hour, shown_price
from charloom.sagemaker.training_request import TrainingJob


@dataclass(frozen=True)
class TrainingCost:
    """What a training job can cost.

    Attributes:
        job: what is asked for.
        per_hour: USD, of one instance; None: unknown.
        note: where the price comes from, or what is known instead; and a warning about the instance type.
    """

    job: TrainingJob
    per_hour: float | None
    note: str

    @classmethod
    def of(cls, job: TrainingJob, price: float | None) -> TrainingCost:
        """By charloom's table, or by the price that the user gives for an hour of one instance."""
        per_hour = price_per_hour(job.instance, job.region, price, kind="training")
        notes = price_note(job.instance, job.region, price, kind="training"), unlisted(job.instance, "training")
        return cls(job, per_hour, "; ".join(filter(None, notes)))

    @property
    def most(self) -> float | None:
        """USD for all instances until SageMaker stops the job; None: unknown."""
        return None if self.per_hour is None else self.per_hour * self.job.instances * self.job.max_runtime / 3600

    def __str__(self) -> str:
        """A sentence for people. It says "about": saving the model, disks and S3 come on top."""
        job = self.job
        many = f"{job.instances} × " if job.instances > 1 else ""
        ended = f"SageMaker stops it after {job.max_runtime / 3600:g} h of training"
        if self.per_hour is None:
            return (
                f"{many}{job.instance} in {job.region}: price unknown, so the most it can cost is unknown too ({ended})"
            )
        most = f"about {shown_price(self.most)} in all at most ({ended}; disks and S3 cost a little more)"
        less = "; spot instances cost less" if job.spot else ""
        return f"{many}{job.instance} in {job.region}: {shown_price(self.per_hour)} an hour each, {most}{less}"
