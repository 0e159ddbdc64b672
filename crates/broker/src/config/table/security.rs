//! Kafka's broker settings of authentication and encryption: known by name, with Kafka's types and defaults, so that
//! tools find and change them; nothing looks at them yet.

use super::Kind::{Boolean, Class, Double, Int, List, Long, Password, Short, String};
use super::Rule::{Between, OneOf};
use super::Update::{PerBroker, PerListener, ReadOnly};
use super::{Kind, Setting, row};

/// Set by the operator only.
const fn fixed(name: &'static str, kind: Kind, default: &'static str, documentation: &'static str) -> Setting {
    row(name, kind, default, documentation).update(ReadOnly).without_effect()
}

/// Changed for one broker at a time.
const fn own(name: &'static str, kind: Kind, default: &'static str, documentation: &'static str) -> Setting {
    row(name, kind, default, documentation).update(PerBroker).without_effect()
}

/// The settings, by name.
pub(crate) const SECURITY: &[Setting] = &[
    fixed("sasl.client.callback.handler.class", Class, "", "Java class that answers what SASL asks of a client.")
        .without_default(),
    own("sasl.jaas.config", Password, "", "Java's login entries for SASL.").without_default(),
    own("sasl.kerberos.kinit.cmd", String, "/usr/bin/kinit", "Where Kerberos' kinit lies."),
    own("sasl.kerberos.min.time.before.relogin", Long, "60000", "Shortest time between two logins with Kerberos."),
    own(
        "sasl.kerberos.principal.to.local.rules",
        List,
        "DEFAULT",
        "How Kerberos principals become short names; the first rule that fits.",
    ),
    own("sasl.kerberos.service.name", String, "", "Kerberos principal that brokers run as.").without_default(),
    own(
        "sasl.kerberos.ticket.renew.jitter",
        Double,
        "0.05",
        "Random share of the time after which a Kerberos ticket is renewed.",
    ),
    own(
        "sasl.kerberos.ticket.renew.window.factor",
        Double,
        "0.8",
        "Share of a Kerberos ticket's life after which it is renewed.",
    ),
    fixed("sasl.login.callback.handler.class", Class, "", "Java class that answers what a login asks.")
        .without_default(),
    fixed("sasl.login.class", Class, "", "Java class that logs in.").without_default(),
    fixed("sasl.login.connect.timeout.ms", Int, "", "How long a connection to an outside login may take to be made.")
        .without_default(),
    fixed("sasl.login.read.timeout.ms", Int, "", "How long an outside login may take to answer.").without_default(),
    own(
        "sasl.login.refresh.buffer.seconds",
        Short,
        "300",
        "How long before its end a credential is renewed at the latest.",
    ),
    own("sasl.login.refresh.min.period.seconds", Short, "60", "Shortest time between renewals of a credential."),
    own("sasl.login.refresh.window.factor", Double, "0.8", "Share of a credential's life after which it is renewed."),
    own("sasl.login.refresh.window.jitter", Double, "0.05", "Random share of a credential's life that is added."),
    fixed("sasl.login.retry.backoff.max.ms", Long, "10000", "Longest pause between attempts to log in outside."),
    fixed("sasl.login.retry.backoff.ms", Long, "100", "First pause between attempts to log in outside."),
    fixed(
        "sasl.mechanism.controller.protocol",
        String,
        "GSSAPI",
        "SASL mechanism towards controllers; there are none here.",
    ),
    own(
        "sasl.mechanism.inter.broker.protocol",
        String,
        "GSSAPI",
        "SASL mechanism among brokers; they do not talk to each other here.",
    ),
    fixed("sasl.oauthbearer.assertion.algorithm", String, "RS256", "Algorithm that signs OAuth assertions.")
        .rule(OneOf(&["ES256", "RS256"])),
    fixed("sasl.oauthbearer.assertion.claim.aud", String, "", "Audience that OAuth assertions claim.")
        .without_default(),
    fixed("sasl.oauthbearer.assertion.claim.exp.seconds", Int, "300", "How long OAuth assertions are valid.")
        .rule(Between(0, 86_400)),
    fixed("sasl.oauthbearer.assertion.claim.iss", String, "", "Issuer that OAuth assertions claim.").without_default(),
    fixed(
        "sasl.oauthbearer.assertion.claim.jti.include",
        Boolean,
        "false",
        "Whether every OAuth assertion has an id of its own.",
    ),
    fixed(
        "sasl.oauthbearer.assertion.claim.nbf.seconds",
        Int,
        "60",
        "How long before they were made OAuth assertions are valid.",
    )
    .rule(Between(0, 3_600)),
    fixed("sasl.oauthbearer.assertion.claim.sub", String, "", "Subject that OAuth assertions claim.").without_default(),
    fixed("sasl.oauthbearer.assertion.file", String, "", "File with an OAuth assertion.").without_default(),
    fixed("sasl.oauthbearer.assertion.private.key.file", String, "", "File with the key that signs OAuth assertions.")
        .without_default(),
    fixed("sasl.oauthbearer.assertion.private.key.passphrase", Password, "", "Password of that key.").without_default(),
    fixed("sasl.oauthbearer.assertion.template.file", String, "", "File with headers and claims of OAuth assertions.")
        .without_default(),
    fixed("sasl.oauthbearer.client.credentials.client.id", String, "", "Client id for the OAuth provider.")
        .without_default(),
    fixed("sasl.oauthbearer.client.credentials.client.secret", Password, "", "Client secret for the OAuth provider.")
        .without_default(),
    fixed(
        "sasl.oauthbearer.clock.skew.seconds",
        Int,
        "30",
        "How far the clocks of the OAuth provider and the broker may be apart.",
    ),
    fixed("sasl.oauthbearer.expected.audience", List, "", "Audiences that an OAuth token may be for.")
        .without_default(),
    fixed("sasl.oauthbearer.expected.issuer", String, "", "Who must have issued an OAuth token.").without_default(),
    fixed(
        "sasl.oauthbearer.jwks.endpoint.refresh.ms",
        Long,
        "3600000",
        "How often the OAuth provider's keys are read.",
    ),
    fixed(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        Long,
        "10000",
        "Longest pause between attempts to read the OAuth provider's keys.",
    ),
    fixed(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
        Long,
        "100",
        "First pause between attempts to read the OAuth provider's keys.",
    ),
    fixed("sasl.oauthbearer.jwks.endpoint.url", String, "", "Where the OAuth provider's keys are.").without_default(),
    fixed(
        "sasl.oauthbearer.jwt.retriever.class",
        Class,
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
        "Java class that fetches OAuth tokens.",
    ),
    fixed(
        "sasl.oauthbearer.jwt.validator.class",
        Class,
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator",
        "Java class that checks OAuth tokens.",
    ),
    fixed("sasl.oauthbearer.scope", String, "", "Scope that OAuth tokens are asked for.").without_default(),
    fixed("sasl.oauthbearer.scope.claim.name", String, "scope", "Name of the scope's claim in an OAuth token."),
    fixed("sasl.oauthbearer.sub.claim.name", String, "sub", "Name of the subject's claim in an OAuth token."),
    fixed("sasl.oauthbearer.token.endpoint.url", String, "", "Where the OAuth provider gives tokens.")
        .without_default(),
    fixed("sasl.server.callback.handler.class", Class, "", "Java class that answers what SASL asks of a server.")
        .without_default(),
    fixed("sasl.server.max.receive.size", Int, "524288", "Largest request before a client is authenticated, in bytes."),
    fixed("ssl.allow.dn.changes", Boolean, "false", "Whether a new certificate may have another name."),
    fixed("ssl.allow.san.changes", Boolean, "false", "Whether a new certificate may have other alternative names."),
    own("ssl.cipher.suites", List, "", "Cipher suites; empty for Java's own choice."),
    own("ssl.client.auth", String, "none", "Whether clients show a certificate.").rule(OneOf(&[
        "required",
        "requested",
        "none",
    ])),
    own("ssl.enabled.protocols", List, "TLSv1.2,TLSv1.3", "Versions of TLS."),
    own(
        "ssl.endpoint.identification.algorithm",
        String,
        "https",
        "How a server's name is compared with its certificate.",
    ),
    own("ssl.engine.factory.class", Class, "", "Java class that makes TLS engines.").without_default(),
    own("ssl.key.password", Password, "", "Password of the private key.").without_default().update(PerListener),
    own("ssl.keymanager.algorithm", String, "SunX509", "Algorithm of Java's key managers."),
    own("ssl.keystore.certificate.chain", Password, "", "Certificates, from the broker's own upwards.")
        .without_default()
        .update(PerListener),
    own("ssl.keystore.key", Password, "", "Private key.").without_default().update(PerListener),
    own("ssl.keystore.location", String, "", "File of the key store.").without_default().update(PerListener),
    own("ssl.keystore.password", Password, "", "Password of the key store.").without_default().update(PerListener),
    own("ssl.keystore.type", String, "JKS", "Format of the key store.").update(PerListener),
    fixed(
        "ssl.principal.mapping.rules",
        String,
        "DEFAULT",
        "How the names in certificates become short names; the first rule that fits.",
    ),
    own("ssl.protocol", String, "TLSv1.3", "Version of TLS that is preferred."),
    own("ssl.provider", String, "", "Java's security provider for TLS.").without_default(),
    own("ssl.secure.random.implementation", String, "", "Java's source of randomness for TLS.").without_default(),
    own("ssl.trustmanager.algorithm", String, "PKIX", "Algorithm of Java's trust managers."),
    own("ssl.truststore.certificates", Password, "", "Certificates that are trusted.")
        .without_default()
        .update(PerListener),
    own("ssl.truststore.location", String, "", "File of the trust store.").without_default().update(PerListener),
    own("ssl.truststore.password", Password, "", "Password of the trust store.").without_default().update(PerListener),
    own("ssl.truststore.type", String, "JKS", "Format of the trust store.").update(PerListener),
];
