"""CloudFormation types that a template may hold although nothing happens here, each with its reason.

Whatever is neither provisioned nor listed as without effect is refused by name, before anything is made. The second
list says why there is no counterpart of what the platform can ask for.
"""

from __future__ import annotations

from collections.abc import Mapping

WITHOUT_EFFECT: Mapping[str, str] = {
    "AWS::Glue::DataCatalogEncryptionSettings": (
        "the local catalogue is part of the server's own state, which is not encrypted, whatever the setting"
    ),
    "AWS::EC2::FlowLog": "no packet crosses the local network, so there is no flow to log",
    "AWS::EC2::EIP": "the local network has no way out that would need an address",
    "AWS::EC2::SecurityGroupIngress": "no packet crosses the local network, so there is none to let in",
    "AWS::EC2::SecurityGroupEgress": "no packet crosses the local network, so there is none to let out",
    "AWS::WAFv2::WebACLAssociation": "no request is inspected here: the rules are AWS's own, and nobody else has them",
    "AWS::Logs::QueryDefinition": "saved queries are listed by a page of AWS; `python -m local logs` reads logs here",
    "AWS::CloudTrail::Trail": "requests for objects are not written down here, as nobody else makes any",
    "AWS::Budgets::Budget": "nothing costs anything here, so there is nothing to watch",
    "AWS::CE::AnomalyMonitor": "nothing costs anything here, so there is nothing to watch",
    "AWS::CE::AnomalySubscription": "nothing costs anything here, so there is nothing to watch",
    "AWS::EC2::NatGateway": "the local network has no way out",
}

REFUSED: Mapping[str, str] = {
    "AWS::RedshiftServerless::Namespace": "no warehouse speaks Redshift's SQL, COPY and UNLOAD outside of AWS",
    "AWS::RedshiftServerless::Workgroup": "it computes for a namespace, of which there is none here",
    "AWS::FSx::FileSystem": "a parallel file system has no use on one machine, and clients mount it by a kernel module",
    "AWS::SageMaker::Domain": "notebooks of Studio are pages of AWS; a notebook of a workload runs here as a script",
    "AWS::SageMaker::UserProfile": "it belongs to a domain of Studio, of which there is none here",
    "AWS::SageMaker::Space": "it belongs to a domain of Studio, of which there is none here",
    "AWS::SageMaker::CodeRepository": "it is offered by notebooks of Studio, of which there are none here",
    "AWS::CodePipeline::Pipeline": "it delivers to accounts; the local command deploys what it would deploy",
    "AWS::FSx::DataRepositoryAssociation": "it belongs to a file system, of which there is none here",
}
"""Types that a stage may ask for and that are refused here, each with the reason; templates and requests are tested."""

WITHOUT_EFFECT_IN_PART: Mapping[str, str] = {
    "AWS::CloudWatch::Alarm with ThresholdMetricId": (
        "what is usual is learnt from weeks of data, which no local server has: the alarm stays in INSUFFICIENT_DATA"
    ),
    "AWS::OpenSearchService::Domain": (
        "no search engine runs here, so the domain is only described: `python -m local logs` reads logs"
    ),
    "AWS::Scheduler::Schedule with a target of aws-sdk": (
        "the audit table is not exported here, as nobody else decides anything: its query finds no rows"
    ),
}
"""What is made, but does less than on AWS, each with the reason."""
