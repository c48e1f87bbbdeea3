/**
 * Mailboxes as RFC 5321 (section 4.1.2) and RFC 6531 (section 3.3) write them: a local part, plain or quoted, in any script, and
 * a domain or the literal of an address.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII, domainToUnicode } from 'node:url';

/** RFC 5321, section 4.5.3.1, in bytes; a path of 256 has two for its brackets. */
const mailboxBytes = 254;
const localBytes = 64;
const domainBytes = 253;

/** What is beyond ASCII and can be seen: neither spaces nor control characters, unassigned or half of a character. */
const beyond = '[^\\p{ASCII}\\p{C}\\p{Z}]';
const atom = `(?:[\\w!#$%&'*+/=?^\`{|}~-]|${beyond})+`;
const plain = new RegExp(`^${atom}(?:\\.${atom})*$`, 'u');
const quoted = new RegExp(`^"((?:[ !#-\\[\\]-~]|${beyond}|\\\\[ -~])*)"$`, 'u');
const domain = /^(?!.{254})[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

/**
 * The one way in which a mailbox is written here: in lower case, its characters composed (NFC), quoted only if it has to be, and
 * an international domain in its own script. Undefined for what is no mailbox.
 */
export function canonicalMailbox(text: string): string | undefined {
  if (!text.isWellFormed() || Buffer.byteLength(text) > mailboxBytes) return undefined;
  const at = text.lastIndexOf('@');
  if (at < 1) return undefined;
  const local = canonicalLocal(text.slice(0, at).normalize('NFC').toLowerCase());
  const host = canonicalHost(
    text
      .slice(at + 1)
      .normalize('NFC')
      .toLowerCase(),
  );
  if (local === undefined || host === undefined || Buffer.byteLength(local) > localBytes) return undefined;
  const mailbox = `${local}@${host}`;
  return Buffer.byteLength(mailbox) <= mailboxBytes ? mailbox : undefined;
}

function canonicalLocal(local: string): string | undefined {
  if (plain.test(local)) return local;
  const content = quoted.exec(local)?.[1]?.replace(/\\(.)/gu, '$1');
  if (content === undefined) return undefined;
  // Quoting what need not be quoted names the same mailbox.
  return plain.test(content) ? content : `"${content.replace(/["\\]/g, '\\$&')}"`;
}

function canonicalHost(host: string): string | undefined {
  const literal = /^\[(?:(ipv6:)(.*)|(.*))\]$/.exec(host);
  if (literal) {
    const isAddress = literal[1] ? isIPv6(literal[2] ?? '') && !literal[2]?.includes('%') : isIPv4(literal[3] ?? '');
    return isAddress ? host : undefined;
  }
  // Not all of it through the parser of URLs, which reads "127.1" as an address.
  if (/^\p{ASCII}*$/u.test(host)) return domain.test(host) ? unicodeOf(host) : undefined;
  const ascii = domainToASCII(host);
  return domain.test(ascii) && Buffer.byteLength(ascii) <= domainBytes ? unicodeOf(ascii) : undefined;
}

/** The domain with the labels that stand for other scripts ("xn--…") in those. */
function unicodeOf(ascii: string): string {
  return /(?:^|\.)xn--/.test(ascii) ? domainToUnicode(ascii) || ascii : ascii;
}
