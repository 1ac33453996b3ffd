"""A study's answer as DICOM SR: TID 1500, a measurement group for each finding."""

from pathlib import Path
from typing import Any

from brainct.core.version import VERSION
from brainct.deliver.answer import Answer
from brainct.deliver.finished_model import FinishedModel
from brainct.deliver.source_series import MAKER, code_of, headers_of, series_facts
from brainct.deliver.study import Study


def write_sr(path: Path, model: FinishedModel, study: Study, answer: Answer) -> None:
    """A Comprehensive SR: the certainty of each finding in percent and, with a calibration, whether it is present."""
    from highdicom.sr import ComprehensiveSR

    headers = headers_of(study)
    report = ComprehensiveSR(
        evidence=headers,
        content=_report(model, study, answer),
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="brainct, research only",
        **series_facts(headers),
    )
    report.save_as(path, enforce_file_format=True)


def _report(model: FinishedModel, study: Study, answer: Answer) -> Any:
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[model.sha256]),
        name=MAKER,
        manufacturer_name=MAKER,
        model_name=f"{model.plan.scheme} {model.sha256[:12]}",
    )
    context = sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))
    return sr.MeasurementReport(
        observation_context=context,
        procedure_reported=sr.CodedConcept("77477000", "SCT", "Computed tomography"),
        imaging_measurements=[_group(model, answer, at) for at in range(len(model.findings))],
        title=codes.DCM.ImagingMeasurementReport,
    )


def _group(model: FinishedModel, answer: Answer, at: int) -> Any:
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    finding = model.findings[at]
    maker = sr.AlgorithmIdentification(MAKER, VERSION, parameters=[f"model sha256 {model.sha256}"])
    certainty = sr.Measurement(
        name=codes.DCM.CertaintyOfFinding,
        value=round(100 * float(answer.probabilities[at]), 4),
        unit=codes.UCUM.Percent,
    )
    measured = [certainty]
    if answer.ml is not None:
        ml = sr.CodedConcept("mL", "UCUM", "milliliter")
        measured.append(sr.Measurement(name=codes.SCT.Volume, value=round(float(answer.ml[at]), 3), unit=ml))
    there = codes.SCT.Present if answer.present[at] else codes.SCT.Absent
    stated = finding in model.calibration.findings
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(), identifier=finding),
        finding_type=code_of(finding),
        algorithm_id=maker,
        measurements=measured,
        qualitative_evaluations=[sr.QualitativeEvaluation(name=code_of(finding), value=there)] if stated else None,
    )
