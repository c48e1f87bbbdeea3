/** What mails say, in the languages of notices. */
import type { Reader } from '#platform/kernel/reader.ts';

interface Written {
  readonly subject: string;
  readonly text: string;
}

/** A code to set a new password, and which account it is for. */
export interface PasswordCode {
  readonly code: string;
  readonly openedAt: string;
}

const isKorean = ({ locale }: Reader) => locale.startsWith('ko');
const lines = (...parts: string[]) => `${parts.filter((part) => part !== '').join('\n\n')}\n`;

/** The mail with the code that shows whose address it is. */
export function contactCodeMail(code: string, reader: Reader): Written {
  return isKorean(reader)
    ? {
        subject: `인증 코드: ${code}`,
        text: lines(
          '이 주소가 본인의 주소임을 확인하려면 다음 코드를 입력해 주세요.',
          `    ${code}`,
          '코드는 한 시간 동안 한 번 사용할 수 있습니다. 요청하지 않으셨다면 이 메일을 무시하셔도 됩니다.',
        ),
      }
    : {
        subject: `Your code: ${code}`,
        text: lines(
          'Enter this code to show that this address is yours:',
          `    ${code}`,
          'It can be used once, within an hour. If you did not ask for it, nothing happens without it.',
        ),
      };
}

/** The mail with codes to set a new password: one for each account that it may be about. */
export function passwordCodeMail(codes: readonly PasswordCode[], reader: Reader): Written {
  const listed = codes
    .map(({ code, openedAt }) => (codes.length === 1 ? `    ${code}` : `    ${code}   (${reader.timeText(openedAt)})`))
    .join('\n');
  return isKorean(reader)
    ? {
        subject: '새 비밀번호 설정',
        text: lines(
          codes.length === 1
            ? '새 비밀번호를 설정하려면 다음 코드를 입력해 주세요.'
            : '이 주소로 만든 계정이 여러 개입니다. 새 비밀번호를 설정할 계정의 코드를 입력해 주세요. 괄호 안은 계정을 만든 시각입니다.',
          listed,
          '코드는 한 시간 동안 한 번 사용할 수 있으며, 사용하면 모든 기기에서 로그아웃됩니다. 요청하지 않으셨다면 이 메일을 무시하셔도 됩니다.',
        ),
      }
    : {
        subject: 'Set a new password',
        text: lines(
          codes.length === 1
            ? 'Enter this code to set a new password:'
            : 'Several accounts were opened with this address. Enter the code of the one that gets a new password; beside it is when it was opened:',
          listed,
          'It can be used once, within an hour, and signs you out everywhere. If you did not ask for it, nothing happens without it.',
        ),
      };
}

const subjects = {
  reservation: { en: 'Your reservation', ko: '예약 안내' },
  reminder: { en: 'About your reservation', ko: '예약 관련 안내' },
  purchase: { en: 'Your purchase', ko: '구매 안내' },
} as const;

/** The mail of a notice, whose sentence is in the reader's language already. */
export function noticeMail(
  { kind, sentence, saleName }: { kind: string; sentence: string; saleName: string | undefined },
  unsubscribeUrl: string | undefined,
  reader: Reader,
): Written {
  const language = isKorean(reader) ? 'ko' : 'en';
  const subject = subjects[kind.split('.')[0] as keyof typeof subjects][language];
  const stop = language === 'ko' ? '더 이상 알림 메일을 받지 않으려면:' : 'If you want no more reminders by mail:';
  return {
    subject: saleName === undefined ? subject : `${saleName}: ${subject}`,
    text: lines(sentence, unsubscribeUrl === undefined ? '' : `${stop}\n${unsubscribeUrl}`),
  };
}
