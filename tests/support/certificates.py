"""Certificates for a cluster that speaks TLS: one that everybody has and trusts."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from pathlib import Path


def certificates(folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Write key and certificate to `folder`; return the environment of a client, and flags for `dask`."""
    key_path, certificate_path = folder / "key.pem", folder / "cert.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cluster")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_text, key_text = str(certificate_path), str(key_path)
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    environment = {
        f"{prefix}CA_FILE": certificate_text,
        f"{prefix}CLIENT__CERT": certificate_text,
        f"{prefix}CLIENT__KEY": key_text,
    }
    flags = ("--tls-ca-file", certificate_text, "--tls-cert", certificate_text, "--tls-key", key_text)
    return environment, flags
