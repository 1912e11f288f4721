// An authority and certificates for tests, made by the system's `openssl`.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const hasOpenssl = spawnSync('openssl', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasOpenssl) console.log('openssl is not installed: tests of TLS are skipped');

export interface Certificate {
  certFile: string;
  keyFile: string;
  cert: string;
  key: string;
}

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class TestAuthority {
  readonly #dir: string;
  readonly #name: string;
  readonly caFile: string;
  readonly ca: string;

  constructor(dir: string, name = 'authority') {
    this.#dir = dir;
    this.#name = name;
    this.caFile = join(dir, `${name}.pem`);
    const key = join(dir, `${name}.key`);
    const subject = ['-subj', `/CN=${name}`, '-days', '2'];
    openssl('req', '-x509', ...EC_KEY, '-keyout', key, '-out', this.caFile, ...subject);
    this.ca = readFileSync(this.caFile, 'utf8');
  }

  /** `names` as OpenSSL writes them: `DNS:localhost`, `IP:127.0.0.1`. */
  certificate(label: string, names: readonly string[]): Certificate {
    const path = (ending: string) => join(this.#dir, `${this.#name}-${label}.${ending}`);
    const [certFile, keyFile, request, extensions] = ['pem', 'key', 'csr', 'ext'].map(path) as [
      string,
      string,
      string,
      string,
    ];
    openssl('req', '-new', ...EC_KEY, '-keyout', keyFile, '-out', request, '-subj', `/CN=${label}`);
    writeFileSync(extensions, `subjectAltName=${names.join(',')}\n`);
    const authority = ['-CA', this.caFile, '-CAkey', join(this.#dir, `${this.#name}.key`), '-CAcreateserial'];
    openssl(
      'x509',
      '-req',
      '-in',
      request,
      '-out',
      certFile,
      ...authority,
      '-days',
      '2',
      '-extfile',
      extensions,
    );
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  }
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
