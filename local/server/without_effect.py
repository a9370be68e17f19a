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
    "AWS::EC2::NatGateway": "the local network has no way out",
}

REFUSED: Mapping[str, str] = {
    "AWS::RedshiftServerless::Namespace": "no warehouse speaks Redshift's SQL, COPY and UNLOAD outside of AWS",
    "AWS::RedshiftServerless::Workgroup": "it computes for a namespace, of which there is none here",
    "AWS::FSx::FileSystem": "a parallel file system has no use on one machine, and clients mount it by a kernel module",
    "AWS::FSx::DataRepositoryAssociation": "it belongs to a file system, of which there is none here",
}
"""Types that a stage may ask for and that are refused here, each with the reason; templates and requests are tested."""
