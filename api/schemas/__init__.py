"""The JSON that goes over the wire, by resource. Documented fields keep their names and meaning; others are additions.

Sources: the feature document's "API Endpoints", and RFC 9457 for errors. Nulls are sent. A new body is a
`msgspec.Struct` in the module of its resource, named here.
"""

from __future__ import annotations

from api.schemas.app import DescriptionBody, HealthBody, PageBody, ShownBody, TicketBody, TokenBody
from api.schemas.common import ProblemBody, ServerEventBody
from api.schemas.gpu import GpuConfigBody, GpuStatusBody, gpu_status_body
from api.schemas.health import OllamaHealthBody, health_body
from api.schemas.jobs import JobBody, JobsBody, PulledBody, job_body
from api.schemas.lifecycle import (
    InstanceBody,
    InstancesBody,
    StartedBody,
    StatusBody,
    StatusView,
    StoppedBody,
    instance_body,
    status_body,
)
from api.schemas.logs import LogsBody
from api.schemas.metrics import MetricsBody, metrics_body, sample_body
from api.schemas.models import (
    AnsweredBody,
    LoadedModelsBody,
    ModelAvailableBody,
    ModelBody,
    ModelChangedBody,
    ModelInfoBody,
    ModelsBody,
    QuestionBody,
    RecommendedModelsBody,
    changed_body,
    info_body,
    loaded_body,
    models_body,
    recommended_body,
    utc_text,
)
from api.schemas.settings import SettingsBody, SettingsChangesBody, settings_body

__all__ = [
    "AnsweredBody",
    "DescriptionBody",
    "GpuConfigBody",
    "GpuStatusBody",
    "HealthBody",
    "InstanceBody",
    "InstancesBody",
    "JobBody",
    "JobsBody",
    "LoadedModelsBody",
    "LogsBody",
    "MetricsBody",
    "ModelAvailableBody",
    "ModelBody",
    "ModelChangedBody",
    "ModelInfoBody",
    "ModelsBody",
    "OllamaHealthBody",
    "PageBody",
    "ProblemBody",
    "PulledBody",
    "QuestionBody",
    "RecommendedModelsBody",
    "ServerEventBody",
    "SettingsBody",
    "SettingsChangesBody",
    "ShownBody",
    "StartedBody",
    "StatusBody",
    "StatusView",
    "StoppedBody",
    "TicketBody",
    "TokenBody",
    "changed_body",
    "gpu_status_body",
    "health_body",
    "info_body",
    "instance_body",
    "job_body",
    "loaded_body",
    "metrics_body",
    "models_body",
    "recommended_body",
    "sample_body",
    "settings_body",
    "status_body",
    "utc_text",
]
