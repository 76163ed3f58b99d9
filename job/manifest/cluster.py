"""cluster: how many distinct values a kernel may have; fields are named as in tfmot."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from job.manifest.fields import Config, Count

Clusters = Annotated[int, Field(ge=2, le=256)]


class ClusterRule(Config):
    """Another number of clusters for some layers, or none. The first rule that fits is taken."""

    name: str | None = None
    """A layer's name or path, or a pattern as in a shell: ``block_*``; ``/dense`` fits
    the outermost layer of this name alone."""
    type: str | None = None
    """A layer class: ``Conv2D``."""
    number_of_clusters: Clusters | None = None
    """The distinct values of each of these layers' kernels."""
    skip: bool = False
    """Leave these layers as they are."""

    @model_validator(mode="after")
    def _says_which_and_what(self) -> Self:
        if self.name is None and self.type is None:
            raise ValueError("a rule needs a name pattern, a layer type, or both")
        if (self.number_of_clusters is None) != self.skip:
            raise ValueError('a rule needs either a number_of_clusters or "skip": true')
        return self


class ClusterConfig(Config):
    """Weight clustering: each kernel gets a few distinct values, which are trained. Zeros stay
    zeros, and zero counts as one of the values where a kernel is pruned.
    """

    number_of_clusters: Clusters = 16
    """The distinct values of each kernel."""
    cluster_centroids_init: Literal["kmeans_plus_plus", "linear", "random", "density_based"] = (
        "kmeans_plus_plus"
    )
    """Where the values start from."""
    layers: tuple[ClusterRule, ...] = ()
    """Rules for single layers."""
    min_weights: int = Field(default=64, ge=0)
    """Layers with fewer weights are left alone."""
    epochs: Count | None = None
    """Passes over the training rows; left out, as many as the training has."""
