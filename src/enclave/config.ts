/** Settings of the enclave runtime. @packageDocumentation */
import { type Static, Type } from 'typebox'
import { CLOSED } from '../server/config.ts'

const Origin = (description: string) =>
  Type.String({ pattern: '^https?://[^\\s/?#]+/?$', description })

/** The configuration file of `vouchsafe enclave`. Paths are relative to that file. */
export const EnclaveConfig = Type.Object(
  {
    listen: Type.Object(
      {
        host: Type.String({
          default: '127.0.0.1',
          description: 'Address to listen on. What arrives is sealed, but need not be public.',
        }),
        port: Type.Integer({ default: 8460, minimum: 0, maximum: 65_535 }),
      },
      { ...CLOSED, default: {} },
    ),
    url: Type.Optional(
      Origin('Where the gateway reaches this enclave; `http://HOST:PORT` of `listen` by default.'),
    ),
    verifier: Origin('Base URL of the verifier.'),
    broker: Origin('Base URL of the key broker.'),
    gateway: Type.Optional(Origin('Base URL of the gateway; without one, nothing is registered.')),
    gatewayTokenFile: Type.Optional(
      Type.String({ description: 'File with the provider token for the gateway, mode 0600.' }),
    ),
    policy: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9.-]{1,64}$',
        description: "Appraisal policy to be judged by; the verifier's default if absent.",
      }),
    ),
    devicePolicy: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9.-]{1,64}$',
        description: 'The same for companion devices.',
      }),
    ),
    subject: Type.Optional(
      Type.String({
        pattern: '^[\\x20-\\x7e]{1,256}$',
        description: 'Name in the keyset. Nobody checks it.',
      }),
    ),
    manifest: Type.String({ description: 'Manifest of the sealed model.' }),
    weights: Type.String({ description: 'Directory of its sealed files.' }),
    weightsStore: Type.String({
      default: '/dev/shm',
      description: 'Directory in memory (tmpfs) in which the weights are opened.',
    }),
    allowWeightsOnDisk: Type.Boolean({
      default: false,
      description: 'Accept that opened weights lie on a disk that the host can read.',
    }),
    model: Type.String({
      pattern: '^(?:demo|http://[^\\s]+)$',
      description: '`demo`, or the loopback address of an OpenAI-compatible server.',
    }),
    documents: Type.Optional(
      Type.String({
        description: "What the demo model answers from; the package's own by default.",
      }),
    ),
    attester: Type.Union(
      [Type.Literal('configfs-tsm'), Type.Literal('tpm'), Type.Literal('simulated')],
      {
        description:
          'What vouches for us. `tpm` (by tpm2-tools) vouches for what was started, and keeps no host out of memory; `simulated` proves nothing to anybody.',
      },
    ),
    tsmRoot: Type.String({
      default: '/sys/kernel/config/tsm/report',
      description: "Where the kernel's report interface is.",
    }),
    tsmPrivlevel: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 3, description: 'SEV-SNP: VMPL to attest at.' }),
    ),
    devices: Type.Array(
      Type.Object(
        {
          command: Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), {
            minItems: 2,
            maxItems: 64,
            description:
              'Program and arguments that print evidence of devices; `{nonce}` becomes the nonce.',
          }),
          timeoutSeconds: Type.Integer({
            default: 20,
            minimum: 1,
            maximum: 300,
            description: 'How long it may take.',
          }),
        },
        CLOSED,
      ),
      {
        default: [],
        maxItems: 8,
        description: 'Companion devices, such as GPUs. Their evidence is named in the statement.',
      },
    ),
    tpmKey: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Attestation key of the TPM: context file or persistent handle.',
      }),
    ),
    tpmPcrs: Type.String({
      default: 'sha256:0,1,2,3,4,5,6,7',
      description: 'PCRs to quote, as tpm2_quote names them.',
    }),
    tpmCertificates: Type.Optional(
      Type.String({ description: 'PEM file: certificate of that key, and its issuers.' }),
    ),
    tpmEventLog: Type.Optional(
      Type.String({
        description:
          "The firmware's event log, such as /sys/kernel/security/tpm0/binary_bios_measurements.",
      }),
    ),
    simulatedRoot: Type.Optional(
      Type.String({ description: 'Directory of the development root; made at first start.' }),
    ),
    rotateSeconds: Type.Integer({
      default: 21_600,
      minimum: 60,
      maximum: 30 * 86_400,
      description: 'How long a generation of sealing keys is current.',
    }),
    overlapSeconds: Type.Integer({
      default: 3_600,
      minimum: 60,
      maximum: 86_400,
      description: 'How long the one before is still opened, and keysets may be kept.',
    }),
    patienceSeconds: Type.Integer({
      default: 60,
      minimum: 0,
      maximum: 3_600,
      description: 'How long services that are not there yet are waited for at start.',
    }),
    shutdownSeconds: Type.Integer({
      default: 30,
      minimum: 0,
      maximum: 3_600,
      description: 'How long answers at work may take to end after SIGTERM.',
    }),
    requestBytes: Type.Integer({
      default: 16 * 1024 * 1024,
      minimum: 1024,
      description: 'Most bytes of one sealed request.',
    }),
    receipts: Type.Integer({
      default: 10_000,
      minimum: 16,
      description: 'Receipts kept; the oldest leave first.',
    }),
    attestationsPerMinute: Type.Integer({
      default: 600,
      minimum: 1,
      description: 'Keysets with fresh evidence, from all callers together.',
    }),
  },
  CLOSED,
)

export type EnclaveSettings = Static<typeof EnclaveConfig>
