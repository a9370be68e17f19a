"""CloudFormation types that a template may hold although nothing happens here, each with its reason.

Whatever is neither provisioned nor listed here is refused by name, before anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping

WITHOUT_EFFECT: Mapping[str, str] = {
    "AWS::Glue::DataCatalogEncryptionSettings": (
        "the local catalogue is part of the server's own state, which is not encrypted, whatever the setting"
    ),
    "AWS::EC2::FlowLog": "no packet crosses the local network, so there is no flow to log",
    "AWS::EC2::EIP": "the local network has no way out that would need an address",
    "AWS::EC2::NatGateway": "the local network has no way out",
}
