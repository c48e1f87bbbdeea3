/** A server of MySQL's protocol with a certificate of the test's own, up to the point where a client would show its password. */
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { createPool } from 'mysql2/promise';
import { openDb } from './mysql.ts';
import { serverOf } from './server.ts';

/** An authority that signed a certificate for each of two names; all end in a hundred years. */
const authority = `-----BEGIN CERTIFICATE-----
MIIBiDCCAS+gAwIBAgIUEMv2rZ3ysuOWFVZKhqh0epPXGt0wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwIBcNMjYxMTI5MTYwNjI1WhgPMjEy
NjExMDUxNjA2MjVaMBkxFzAVBgNVBAMMDlRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEw4X2pLX5O5aPBx+nm5DZZC9u9aRIidt4LiTpILZ/
+pFJP2fMNaTM2qaSYIimtrJ9vAJn6yQixAsvMy6jcmKBDqNTMFEwHQYDVR0OBBYE
FEJamB0KUR/faFIVQQaOGOmXhqfpMB8GA1UdIwQYMBaAFEJamB0KUR/faFIVQQaO
GOmXhqfpMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgAozvImtR
z5lyUEEcBhZySd0IP2aJX2gaKoRi+Ace0koCIGjFPsj1lTNXnc33MSK7Fzfyx2qT
NQ5FxtRqhe2dFKcI
-----END CERTIFICATE-----
`;
const certificates = {
  localhost: {
    cert: `-----BEGIN CERTIFICATE-----
MIIBiDCCAS+gAwIBAgIUCmHoCcuyP+DpHaijPKiDcnxxiGkwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwIBcNMjYxMTI5MTYwNjI1WhgPMjEy
NjExMDUxNjA2MjVaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABKH/mxzA7Zo5kyGkQiCaU/Et5vxH+YDjiZJ2aRiRJnB2ccQP
9qtBhnQllA8aiV17wX5u8NGnCNiVSvRzIZ5gQx6jWDBWMBQGA1UdEQQNMAuCCWxv
Y2FsaG9zdDAdBgNVHQ4EFgQUFLbQ0fcM1DBIK87NGqYtX8WCPlswHwYDVR0jBBgw
FoAUQlqYHQpRH99oUhVBBo4Y6ZeGp+kwCgYIKoZIzj0EAwIDRwAwRAIgZt1Z1o/k
Eqot2WJDMz/yXHkX619ToFLeSJbIbdLf2lsCIESzMUCihuBRLUTE4t+zEv1wNzjd
yT+NR1DsY2eN8UOx
-----END CERTIFICATE-----
`,
    key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgU6fd4ytFUN3VSMvt
QGtNr/3YLUqEqNCH4l1gp0LVY2GhRANCAASh/5scwO2aOZMhpEIgmlPxLeb8R/mA
44mSdmkYkSZwdnHED/arQYZ0JZQPGolde8F+bvDRpwjYlUr0cyGeYEMe
-----END PRIVATE KEY-----
`,
  },
  'other.example': {
    cert: `-----BEGIN CERTIFICATE-----
MIIBkjCCATegAwIBAgIUCmHoCcuyP+DpHaijPKiDcnxxiGowCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwIBcNMjYxMTI5MTYwNjI1WhgPMjEy
NjExMDUxNjA2MjVaMBgxFjAUBgNVBAMMDW90aGVyLmV4YW1wbGUwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAATb4VPm6Z9qITbfptsP7DLKhWm74t2oqpwojU3GPC9x
J5WYMm2UpHzXDHuUjw8MgUP+HCCtQ+0OQS0Mj0tsMKrMo1wwWjAYBgNVHREEETAP
gg1vdGhlci5leGFtcGxlMB0GA1UdDgQWBBTItlBaB8SqXw4B9WXATPBhvFJbUjAf
BgNVHSMEGDAWgBRCWpgdClEf32hSFUEGjhjpl4an6TAKBggqhkjOPQQDAgNJADBG
AiEAzf3EYyFyCC0vPntTJpFaFUEJPq6G12nItsgntxnOzBUCIQCKgtVG2Rbs8Dx6
xCZz+HdqeeyE67Hupfkrbqb3NWYACg==
-----END CERTIFICATE-----
`,
    key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCi0Y0iiHNSj9ZLkn
YhdGgKpAWR7/BRNezWI75I9G0YqhRANCAATb4VPm6Z9qITbfptsP7DLKhWm74t2o
qpwojU3GPC9xJ5WYMm2UpHzXDHuUjw8MgUP+HCCtQ+0OQS0Mj0tsMKrM
-----END PRIVATE KEY-----
`,
  },
};

/** MySQL's greeting: protocol 10, and among its capabilities TLS and the handshake of 4.1. */
function greeting(): Buffer {
  const capabilities = 0x0008_8a01;
  const body = Buffer.concat([
    Buffer.from([10]),
    Buffer.from('8.4.0\0'),
    Buffer.from([1, 0, 0, 0]),
    Buffer.from('12345678\0'),
    Buffer.from([capabilities & 0xff, (capabilities >> 8) & 0xff, 45, 2, 0, capabilities >> 16, 0, 21]),
    Buffer.alloc(10),
    Buffer.from('123456789012\0'),
    Buffer.from('mysql_native_password\0'),
  ]);
  return Buffer.concat([Buffer.from([body.length, 0, 0, 0]), body]);
}

/** The request for TLS: a header of 4 bytes, and 32. */
const requestBytes = 36;

let server: Server;
let sockets: Socket[];
let shown: string[];

/** Serves with a certificate for this name; what clients send after TLS is kept in `shown`. */
async function serve(name: keyof typeof certificates): Promise<number> {
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.write(greeting());
    socket.once('data', (request: Buffer) => {
      // A client may send its first TLS message in the same packet as the request for TLS.
      socket.pause();
      socket.unshift(request.subarray(requestBytes));
      const secure = new TLSSocket(socket, { isServer: true, ...certificates[name] });
      secure.on('error', () => undefined);
      secure.once('data', (login) => {
        shown.push(login.toString('latin1'));
        secure.destroy();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as { port: number }).port;
}

beforeEach(() => {
  sockets = [];
  shown = [];
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const urlOf = (port: number, ssl: object) =>
  `mysql://somebody:secret@localhost:${port}/holdfast?ssl=${encodeURIComponent(JSON.stringify(ssl))}`;

async function connect(url: string): Promise<unknown> {
  const db = openDb(url);
  return db
    .rows('SELECT 1')
    .then(
      () => undefined,
      (error: unknown) => error,
    )
    .finally(() => db.close());
}

test('a server with a certificate for its name is shown the account', async () => {
  await connect(urlOf(await serve('localhost'), { ca: authority }));
  expect(shown).toEqual([expect.stringContaining('somebody')]);
});

test.each([
  ['as deployed', {}],
  ['a URL that asks for less', { verifyIdentity: false, rejectUnauthorized: false }],
])('a server with a trusted certificate for another name is shown nothing: %s', async (_, settings) => {
  const error = await connect(urlOf(await serve('other.example'), { ca: authority, ...settings }));
  expect(String((error as Error).message)).toMatch(/altnames|certificate/i);
  expect(shown).toEqual([]);
});

test('nor is one with the right name from an unknown authority', async () => {
  const error = await connect(urlOf(await serve('localhost'), {}));
  expect(String((error as Error).message)).toMatch(/certificate/i);
  expect(shown).toEqual([]);
});

test('control: the driver by itself shows the account to a server with a certificate for another name', async () => {
  const pool = createPool(urlOf(await serve('other.example'), { ca: authority }));
  await pool.query('SELECT 1').catch(() => undefined);
  await pool.end();
  expect(shown).toEqual([expect.stringContaining('somebody')]);
});

test('authorities may be named, and a name that is not known is an error', () => {
  const url = 'mysql://root@db.example/holdfast';
  expect(serverOf(url)).toEqual({ uri: url });
  const named = serverOf(`${url}?ssl=Amazon%20RDS`, { 'Amazon RDS': [authority] });
  expect(named.ssl).toMatchObject({ ca: [authority], verifyIdentity: true, rejectUnauthorized: true });
  expect(() => serverOf(`${url}?ssl=true`)).toThrow('authorities');
});
