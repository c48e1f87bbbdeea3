/** CP949, in which Korean spreadsheets save CSV. */
import iconv from 'iconv-lite';

/** The text of bytes in CP949; U+FFFD stands for what is not valid. */
export function decodeCp949(bytes: Buffer): string {
  // Not `TextDecoder`: ICU's EUC-KR lacks the 8,822 syllables that CP949 adds.
  return iconv.decode(bytes, 'cp949');
}
